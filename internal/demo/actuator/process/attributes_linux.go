package process

import "syscall"

// attributes make a child die with this process, even by kill -9, and keep the terminal's Ctrl-C from it:
// this process decides in which order nodes end.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
