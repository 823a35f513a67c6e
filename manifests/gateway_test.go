package manifests_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
)

// nginx is the gateway's configuration of one root.
func nginx(t *testing.T, o *objects) string {
	t.Helper()
	files := o.configOf(t, o.deployment(t, "tidegate-gateway"), "config")
	if !strings.Contains(files["nginx.conf"], "include /etc/tidegate/gateway/cluster.conf;") || !strings.Contains(files["cluster.conf"], "resolver ") {
		t.Fatal("nginx would find no name: it resolves by itself and needs to be told where")
	}
	return files["nginx.conf"]
}

// Tokens travel in queries (?token=), and a log is read by more people than may log in.
func TestTheGatewayLogsNoQuery(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		conf := nginx(t.T, o)
		format := conf[strings.Index(conf, "log_format"):]
		format = format[:strings.Index(format, ";")]
		for _, variable := range []string{"$request\"", "$request ", "$request_uri", "$args", "$query_string", "$http_", "$is_args", "$arg_"} {
			if strings.Contains(format, variable) {
				t.Errorf("the access log has %s: it may hold a token", variable)
			}
		}
		if !strings.Contains(format, "$uri") {
			t.Error("the access log does not say what was asked")
		}
		block := conf[strings.Index(conf, "http {"):]
		if got := regexp.MustCompile(`error_log [^;]*;`).FindAllString(block, -1); !slices.Equal(got, []string{"error_log /dev/null emerg;"}) {
			t.Errorf("the error log writes whole request lines, and is %v for requests", got)
		}
	})
}

func TestTheGatewayRoutesToNodesByNameAlone(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		conf := nginx(t.T, o)
		found := regexp.MustCompile(`location ~ "(\^/n/[^"]*)"`).FindStringSubmatch(conf)
		if found == nil {
			t.Fatal("no route to nodes")
		}
		route := regexp.MustCompile(found[1])
		for path, want := range map[string]string{
			"/n/socket-5d4f8-x2x9z/ws/connect":              "socket-5d4f8-x2x9z",
			"/n/a/ws/connect":                               "a",
			"/n/10-1-2-3/ws/connect":                        "10-1-2-3",
			"/n/" + strings.Repeat("a", 63) + "/ws/connect": strings.Repeat("a", 63),
			"/n/" + strings.Repeat("a", 64) + "/ws/connect": "",
			"/n/kubernetes.default/ws/connect":              "",
			"/n/127.0.0.1/ws/connect":                       "",
			"/n/node:9090/ws/connect":                       "",
			"/n/user@node/ws/connect":                       "",
			"/n/-node/ws/connect":                           "",
			"/n/node-/ws/connect":                           "",
			"/n/NODE/ws/connect":                            "",
			"/n//ws/connect":                                "",
			"/n/node/drain":                                 "",
			"/n/node/ws/connect/":                           "",
			"/n/node/ws/connect/../../drain":                "",
			"/n/node\n/ws/connect":                          "",
			"/x/n/node/ws/connect":                          "",
		} {
			got := ""
			if m := route.FindStringSubmatch(path); m != nil {
				got = m[route.SubexpIndex("node")]
			}
			if got != want {
				t.Errorf("%q leads to %q, want %q", path, got, want)
			}
		}
	})
}

func TestTheGatewayLeadsToPublicPortsAndKnownPathsOnly(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		conf := nginx(t.T, o)
		node, err := started(t.T, o, "socket")
		if err != nil {
			t.Fatal(err)
		}
		brain, err := started(t.T, o, "tidegate-balancer")
		if err != nil {
			t.Fatal(err)
		}
		paths := []string{"/", "$uri", "$uri$is_args$args", "/api/v1/events$is_args$args", keys.PathResolve + "$is_args$args"}
		for _, pass := range regexp.MustCompile(`proxy_pass ([^;]+);`).FindAllStringSubmatch(conf, -1) {
			if host, found := strings.CutSuffix(pass[1], fmt.Sprintf(".$nodes%s%s$is_args$args", node.Socket.Addr, protocol.ConnectPath)); found &&
				(host == "http://$node" || host == "http://$a-$b-$c-$d") {
				continue
			}
			path, balancer := strings.CutPrefix(pass[1], "http://$balancer"+brain.Balancer.Listen)
			if !balancer || !slices.Contains(paths, path) {
				t.Errorf("a route leads to %s", pass[1])
			}
		}
		for _, closed := range []string{keys.PathVictims, keys.PathDecision, keys.PathMetrics, keys.PathDrainStatus, keys.PathReady, "/debug"} {
			if regexp.MustCompile(`location [^{]*` + regexp.QuoteMeta(closed)).MatchString(conf) {
				t.Errorf("%s can be reached from outside", closed)
			}
		}
		if !strings.Contains(conf, "location / {\n            return 404") {
			t.Error("what is not known is not refused")
		}
		sockets := o.configOf(t.T, o.deployment(t.T, "tidegate-gateway"), "config")["websocket.conf"]
		for _, place := range []string{conf, sockets} {
			if !strings.Contains(place, "proxy_set_header "+keys.HeaderNonce+` "";`) {
				t.Error("a nonce that a client sends is passed on")
			}
		}
	})
}
