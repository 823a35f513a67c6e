// Package redisconn opens Redis for every process of Tidegate: standalone, Sentinel or Cluster, with TLS and ACL,
// and with a bound on every call.
package redisconn

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Options say where Redis is and how to reach it. The kong tags are the flags of every command that needs Redis.
type Options struct {
	Addrs        []string      `name:"redis-addr" env:"TIDEGATE_REDIS_ADDR" default:"127.0.0.1:6379" help:"Redis as host:port; several for a cluster's seeds or, with --redis-master, for Sentinels."`
	Master       string        `name:"redis-master" env:"TIDEGATE_REDIS_MASTER" help:"Name of the master that the Sentinels in --redis-addr watch; empty without Sentinel."`
	Cluster      bool          `name:"redis-cluster" env:"TIDEGATE_REDIS_CLUSTER" help:"Treat a single --redis-addr as a Redis Cluster."`
	Username     string        `name:"redis-username" env:"TIDEGATE_REDIS_USERNAME" help:"ACL user; empty for the default user."`
	PasswordFile string        `name:"redis-password-file" env:"TIDEGATE_REDIS_PASSWORD_FILE" type:"path" help:"File that holds the password; read again for each new connection, so that it may rotate."`
	TLS          bool          `name:"redis-tls" env:"TIDEGATE_REDIS_TLS" help:"Speak TLS; on by itself when one of the --redis-tls files is given."`
	CAFile       string        `name:"redis-tls-ca" env:"TIDEGATE_REDIS_TLS_CA" type:"path" help:"PEM file of the authorities that may sign the server's certificate; empty for the system's."`
	CertFile     string        `name:"redis-tls-cert" env:"TIDEGATE_REDIS_TLS_CERT" type:"path" help:"PEM file of the client certificate, with --redis-tls-key."`
	KeyFile      string        `name:"redis-tls-key" env:"TIDEGATE_REDIS_TLS_KEY" type:"path" help:"PEM file of the client key, with --redis-tls-cert."`
	Timeout      time.Duration `name:"redis-timeout" env:"TIDEGATE_REDIS_TIMEOUT" default:"1s" help:"Longest that one Redis call may take, 10ms to 30s."`
}

// The bounds of Timeout: below, a healthy network misses it; above, a paused Redis stalls the loop for too long.
const (
	minTimeout = 10 * time.Millisecond
	maxTimeout = 30 * time.Second
)

// Validate names every wrong field with its value and the fix.
func (o Options) Validate() error {
	var errs []error
	if len(o.Addrs) == 0 {
		errs = append(errs, errors.New("--redis-addr is empty: give Redis as host:port"))
	}
	for _, addr := range o.Addrs {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("--redis-addr %q is no address: write host:port, for example 127.0.0.1:6379", addr))
		}
	}
	if o.Master != "" && o.Cluster {
		errs = append(errs, fmt.Errorf("--redis-master %q and --redis-cluster exclude each other: a cluster has no Sentinel", o.Master))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, fmt.Errorf("--redis-tls-cert %q and --redis-tls-key %q: give both or neither", o.CertFile, o.KeyFile))
	}
	if o.Timeout < minTimeout || o.Timeout > maxTimeout {
		errs = append(errs, fmt.Errorf("--redis-timeout %s is outside %s to %s", o.Timeout, minTimeout, maxTimeout))
	}
	return errors.Join(errs...)
}

// secure reports whether the connection is to be TLS.
func (o Options) secure() bool { return o.TLS || o.CAFile != "" || o.CertFile != "" }
