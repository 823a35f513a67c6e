package component

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/network"
)

// probeTimeout bounds one look at a component.
const probeTimeout = 3 * time.Second

// probing asks from inside the cluster's network. Components serve their health with certificates that they make up.
var probing = &http.Client{
	Timeout: probeTimeout,
	Transport: &http.Transport{
		DialContext:       network.Dial,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a health probe sends no secret and trusts no answer
		DisableKeepAlives: true,
	},
}

func healthy(url string) func(context.Context, Setup) error {
	return func(ctx context.Context, _ Setup) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := probing.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // only the status counts
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

func listens(socket string) func(context.Context, Setup) error {
	return func(ctx context.Context, s Setup) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", s.Place.Run(socket))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// dial opens a connection that cannot hang.
func dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := network.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(probeTimeout))
}

func redisAnswers(ctx context.Context, _ Setup) error {
	conn, err := dial(ctx, network.Node+":6379")
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	return greetRedis(conn)
}

func greetRedis(conn io.ReadWriter) error {
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("redis answers %q", line)
	}
	return err
}

// apiVersions asks a broker which requests it takes, in the first form of that request, which every version answers:
// length, api key 18, version 0, correlation 7, no client id.
var apiVersions = []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff}

// kafkaAnswers asks a question that the broker answers only when it serves; its port is open long before.
func kafkaAnswers(ctx context.Context, _ Setup) error {
	conn, err := dial(ctx, network.Node+":9092")
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	return greetKafka(conn)
}

func greetKafka(conn io.ReadWriter) error {
	if _, err := conn.Write(apiVersions); err != nil {
		return err
	}
	var answer struct {
		Length, Correlation int32
		Code                int16
	}
	if err := binary.Read(conn, binary.BigEndian, &answer); err != nil {
		return err
	}
	if answer.Correlation != 7 || answer.Code != 0 {
		return errors.New("kafka does not answer as a broker")
	}
	return nil
}
