// Package kafka says how every process of Tidegate reaches Kafka, and creates and checks the topics.
package kafka

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say where Kafka is and how to reach it. The kong tags are the flags of every command that needs Kafka.
type Options struct {
	Brokers      []string      `name:"kafka-broker" env:"TIDEGATE_KAFKA_BROKER" default:"127.0.0.1:9092" help:"Kafka as host:port; several to start from any of them."`
	ClientID     string        `name:"kafka-client-id" env:"TIDEGATE_KAFKA_CLIENT_ID" default:"tidegate" help:"Name under which the brokers log and limit this process."`
	TLS          bool          `name:"kafka-tls" env:"TIDEGATE_KAFKA_TLS" help:"Speak TLS; on by itself when one of the --kafka-tls files is given."`
	CAFile       string        `name:"kafka-tls-ca" env:"TIDEGATE_KAFKA_TLS_CA" type:"path" help:"PEM file of the authorities that may sign the brokers' certificates; empty for the system's."`
	CertFile     string        `name:"kafka-tls-cert" env:"TIDEGATE_KAFKA_TLS_CERT" type:"path" help:"PEM file of the client certificate, with --kafka-tls-key."`
	KeyFile      string        `name:"kafka-tls-key" env:"TIDEGATE_KAFKA_TLS_KEY" type:"path" help:"PEM file of the client key, with --kafka-tls-cert."`
	Mechanism    string        `name:"kafka-sasl-mechanism" env:"TIDEGATE_KAFKA_SASL_MECHANISM" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty without SASL."`
	Username     string        `name:"kafka-sasl-username" env:"TIDEGATE_KAFKA_SASL_USERNAME" help:"SASL user."`
	PasswordFile string        `name:"kafka-sasl-password-file" env:"TIDEGATE_KAFKA_SASL_PASSWORD_FILE" type:"path" help:"File that holds the SASL password."`
	Timeout      time.Duration `name:"kafka-timeout" env:"TIDEGATE_KAFKA_TIMEOUT" default:"3s" help:"Longest that one Kafka request may take, 500ms to 60s."`
}

// The bounds of Timeout: below, a fetch that waits for messages looks dead; above, a dead broker stalls a shard for too long.
const (
	minTimeout = 500 * time.Millisecond
	maxTimeout = 60 * time.Second
)

// mechanisms are the SASL mechanisms that this build speaks; none is the empty one.
func mechanisms() []string { return []string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} }

// Validate names every wrong field with its value and the fix.
func (o Options) Validate() error {
	errs := make([]error, 0, len(o.Brokers)+5)
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("--kafka-broker is empty: give Kafka as host:port"))
	}
	for _, broker := range o.Brokers {
		errs = append(errs, validBroker(broker))
	}
	if o.ClientID == "" || strings.ContainsAny(o.ClientID, " \t\r\n") {
		errs = append(errs, fmt.Errorf("--kafka-client-id %q: give a name without spaces", o.ClientID))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, fmt.Errorf("--kafka-tls-cert %q and --kafka-tls-key %q: give both or neither", o.CertFile, o.KeyFile))
	}
	if o.Timeout < minTimeout || o.Timeout > maxTimeout {
		errs = append(errs, fmt.Errorf("--kafka-timeout %v: want %v to %v", o.Timeout, minTimeout, maxTimeout))
	}
	return errors.Join(append(errs, o.validSASL())...)
}

func (o Options) validSASL() error {
	known := mechanisms()
	switch {
	case !slices.Contains(known, o.Mechanism):
		return fmt.Errorf("--kafka-sasl-mechanism %q: want %s", o.Mechanism, strings.Join(known[1:], ", "))
	case o.Mechanism == "" && (o.Username != "" || o.PasswordFile != ""):
		return fmt.Errorf("--kafka-sasl-username %q has no --kafka-sasl-mechanism: give one of %s", o.Username, strings.Join(known[1:], ", "))
	case o.Mechanism != "" && (o.Username == "" || o.PasswordFile == ""):
		return fmt.Errorf("--kafka-sasl-mechanism %q: give --kafka-sasl-username and --kafka-sasl-password-file with it", o.Mechanism)
	}
	return nil
}

func validBroker(broker string) error {
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		return fmt.Errorf("--kafka-broker %q: want host:port, like kafka:9092", broker)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 1 || number > 65535 || host == "" {
		return fmt.Errorf("--kafka-broker %q: want host:port with a port from 1 to 65535", broker)
	}
	return nil
}

func (o Options) secure() bool { return o.TLS || o.CAFile != "" || o.CertFile != "" }

// At are the options' defaults for these brokers, for processes that carry their own Kafka.
func At(brokers ...string) Options {
	return Options{Brokers: brokers, ClientID: "tidegate", Timeout: 3 * time.Second}
}
