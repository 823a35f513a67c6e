package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tidegate/tidegate"

// ban forbids some imports to some packages of this module. Patterns end in "..." to take the packages below too.
type ban struct {
	packages []string
	imports  []string
	// deep also forbids reaching the import through other packages.
	deep   bool
	reason string
}

// pure are the rules: they decide on values.
var pure = []string{
	"balancer/urgency", "balancer/capacity", "balancer/forecast", "balancer/decide", "balancer/victim",
	"balancer/hindsight", "balancer/margin", "balancer/startup", "balancer/storm",
	"balancer/placement", "balancer/move", "internal/hpa", "internal/shard", "internal/decision",
	"internal/backtest/trace", "internal/backtest/world", "internal/backtest/rival", "internal/backtest/oracle", "internal/backtest/score",
}

var bans = []ban{
	{
		packages: pure, imports: []string{"os", "net", "net/http", "database/sql", "log"},
		reason: "rules decide on values: the balancer, the backtest and the tests run the same code, so I/O stays at the edge",
	},
	{
		packages: pure, imports: []string{"github.com/redis/go-redis/v9", "github.com/IBM/sarama", "google.golang.org/grpc"}, deep: true,
		reason: "rules decide on values: a rule that can reach a server cannot be replayed",
	},
	{
		packages: pure, imports: []string{"k8s.io/api...", "k8s.io/client-go...", "k8s.io/apimachinery..."}, deep: true,
		reason: "rules decide on values: what Kubernetes says reaches them as load.Cluster",
	},
	{
		packages: []string{"socket..."}, imports: []string{module + "/balancer..."}, deep: true,
		reason: "a node acts on the table alone: it must serve while every balancer is gone",
	},
	{
		packages: []string{"externalscaler...", "webhook..."}, imports: []string{"github.com/redis/go-redis/v9", "github.com/IBM/sarama"}, deep: true,
		reason: "the scaler and the webhook read through small interfaces: their answers must not wait for Redis or Kafka",
	},
	{
		packages: []string{"balancer..."}, imports: []string{module + "/socket..."}, deep: true,
		reason: "the balancer knows nodes by their heartbeats only, so that servers which are not ours can be balanced too",
	},
	{
		packages: []string{"internal/backtest..."},
		imports:  []string{"github.com/redis/go-redis/v9", "github.com/IBM/sarama", "google.golang.org/grpc", "k8s.io/client-go..."}, deep: true,
		reason: "a backtest is arithmetic: it runs on any machine, needs no server, and gives the same result twice",
	},
	{
		packages: []string{"internal/backtest/world"}, imports: []string{module + "/balancer/decide", module + "/internal/backtest/rival"}, deep: true,
		reason: "the world has no opinion about how many pods there should be: it would flatter the policy it knows",
	},
	{
		packages: []string{"balancer...", "socket...", "externalscaler...", "webhook..."}, imports: []string{module + "/internal/backtest..."}, deep: true,
		reason: "production code depends on no simulation of itself",
	},
	{
		packages: []string{"..."}, imports: []string{module},
		reason: "main wires processes together; nothing may depend on the wiring",
	},
	{
		packages: []string{"balancer...", "externalscaler...", "webhook...", "socket..."},
		imports:  []string{"github.com/alicebob/miniredis/v2", "github.com/twmb/franz-go/pkg/kfake"}, deep: true,
		reason: "the embedded servers are for the demo and for tests: production code never starts one",
	},
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImportRulesHold(t *testing.T) {
	for _, pkg := range listPackages(t) {
		own, inside := strings.CutPrefix(pkg.ImportPath, module+"/")
		if !inside {
			continue
		}
		for _, b := range bans {
			if !matchesAny(own, b.packages) {
				continue
			}
			reached := pkg.Imports
			if b.deep {
				reached = pkg.Deps
			}
			for _, path := range reached {
				if matchesAny(path, b.imports) {
					t.Errorf("%s reaches %s: %s", own, path, b.reason)
				}
			}
		}
	}
}

// clocks are the functions of package time that read one.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}

func TestPureRulesReadNoClock(t *testing.T) {
	for _, dir := range pure {
		root := filepath.Join("..", "..", dir)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			reportClocks(t, path)
			return nil
		})
		if err != nil {
			t.Errorf("walk %s: %v", dir, err)
		}
	}
}

func reportClocks(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("parse: %v", err)
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := selector.X.(*ast.Ident)
		if ok && pkg.Name == "time" && slices.Contains(clocks, selector.Sel.Name) {
			t.Errorf("%s calls time.%s: a rule gets its time as a value, or a replay would decide differently", path, selector.Sel.Name)
		}
		return true
	})
}

func matchesAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, below := strings.CutSuffix(pattern, "...")
		return path == prefix || below && (prefix == "" || strings.HasPrefix(path, prefix+"/"))
	})
}

func TestBansCatchWhatTheyAreMeantFor(t *testing.T) {
	cases := []struct {
		path, pattern string
		want          bool
	}{
		{"balancer/decide", "balancer...", true},
		{"balancer", "balancer...", true},
		{"balancers", "balancer...", false},
		{"net/http", "net", false},
		{"internal/hpa", "...", true},
	}
	for _, c := range cases {
		if got := matchesAny(c.path, []string{c.pattern}); got != c.want {
			t.Errorf("%q against %q is %v: a ban would hit the wrong package", c.path, c.pattern, got)
		}
	}
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var pkg listed
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, pkg)
	}
}
