package pgtest

import "syscall"

// dieWithUs has a process get SIGQUIT, which ends a server at once, when the thread that starts it
// ends.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
