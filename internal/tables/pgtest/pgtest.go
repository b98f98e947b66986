// Package pgtest starts a real PostgreSQL for tests and benchmarks: in a temporary folder, on a
// unix socket alone, as an unprivileged user. It dies with the process that started it.
package pgtest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a running server.
type Server struct {
	dir  string
	user *syscall.Credential // nil: that of this process
	cmd  *exec.Cmd
	done chan struct{} // closed when the server has ended
}

// Start makes a server and waits until it answers. The error says what is missing.
func Start() (*Server, error) {
	initdb, err := binary("initdb")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "grimperium-pg-") // the name of a socket is short
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if os.Geteuid() == 0 { // PostgreSQL refuses root
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
		s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	cmd := s.command(initdb, "-D", s.data(), "-U", "chemist", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Remove()
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Launch(); err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// binary finds a program of PostgreSQL, which Debian keeps out of the PATH.
func binary(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL is missing (%s): apt-get install postgresql", name)
	}
	return found[len(found)-1], nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user, Setpgid: true}
	dieWithUs(cmd.SysProcAttr)
	return cmd
}

// URL is the address of a table of the server.
func (s *Server) URL(table string) string {
	return "postgres://chemist@/postgres?" + url.Values{"host": {s.dir}, "table": {table}}.Encode()
}

// Launch starts the server, at first or again.
func (s *Server) Launch() error {
	program, err := binary("postgres")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.command(program, "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.done = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the server gets SIGQUIT when the thread that started it ends
		started <- s.cmd.Start()
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	for range 600 {
		text, _ := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
		if strings.Contains(string(text), "ready") {
			return nil
		}
		select {
		case <-s.done:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server ended: %s", text)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready after a minute")
}

// Kill ends the server as a crash does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.done
}

// Remove ends the server and removes its folder.
func (s *Server) Remove() {
	if s.done != nil {
		s.Kill()
	}
	_ = os.RemoveAll(s.dir)
}
