//go:build !unix

package process

import "syscall"

// attributes are the system's own. Children end with Stop; only killing this process leaves them behind.
func attributes() *syscall.SysProcAttr { return nil }
