//go:build unix && !linux

package process

import "syscall"

// attributes keep the terminal's Ctrl-C from a child: this process decides in which order nodes end.
// Children end with Stop; only a kill -9 of this process leaves them behind.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
