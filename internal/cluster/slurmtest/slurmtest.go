// Package slurmtest starts a real Slurm for tests, a controller and two nodes on loopback, and ends
// it with all its jobs. It needs the Debian packages slurmctld, slurmd and slurm-client, and no
// root. A process that uses it must run no programs by internal/runner, which would end Slurm as an
// orphan.
package slurmtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Nodes are the names of the nodes.
var Nodes = []string{"n1", "n2"}

const configuration = `ClusterName=t
SlurmctldHost=HOST(127.0.0.1)
SlurmctldPort=PORT
SlurmUser=USER
SlurmdUser=USER
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=5
MessageTimeout=5
KillWait=2
MinJobAge=300
InactiveLimit=0
EnforcePartLimits=ALL
JobRequeue=1
StateSaveLocation=DIR/state
SlurmdSpoolDir=DIR/spool/%n
SlurmctldPidFile=DIR/slurmctld.pid
SlurmdPidFile=DIR/slurmd.%n.pid
SlurmctldLogFile=DIR/slurmctld.log
SlurmdLogFile=DIR/slurmd.%n.log
NodeName=n1 NodeHostname=HOST NodeAddr=127.0.0.1 Port=NODE1 CPUs=2 RealMemory=4000 State=UNKNOWN
NodeName=n2 NodeHostname=HOST NodeAddr=127.0.0.1 Port=NODE2 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL DefaultTime=60 State=UP PriorityTier=9 PreemptMode=OFF
`

// Slurm is a running Slurm.
type Slurm struct {
	dir     string
	daemons map[string]*exec.Cmd // "slurmctld", "n1", "n2"
}

// Start starts Slurm with its files in dir, which must be new and have a short name. Stop ends what
// was started, also after an error.
func Start(dir string) (s *Slurm, err error) {
	for range 3 { // another process may take a port meanwhile
		s = &Slurm{dir: dir, daemons: map[string]*exec.Cmd{}}
		if err = s.configure(); err == nil {
			err = s.up()
		}
		if err == nil {
			return s, nil
		}
		s.Stop()
	}
	return s, err
}

// configure writes the files of Slurm.
func (s *Slurm) configure() error {
	if _, err := exec.LookPath("slurmctld"); err != nil {
		return errors.New("Slurm is not installed: apt-get install slurmctld slurmd slurm-client")
	}
	who, err := user.Current()
	host, hostErr := os.Hostname()
	if err = errors.Join(err, hostErr); err != nil {
		return err
	}
	host, _, _ = strings.Cut(host, ".")
	replace := []string{"HOST", host, "USER", who.Username, "DIR", s.dir}
	for _, name := range []string{"PORT", "NODE1", "NODE2"} {
		// not ephemeral
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(12000)))
		for err != nil {
			l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(12000)))
		}
		defer l.Close()
		replace = append(replace, name, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	}
	for _, sub := range []string{"state", "spool/n1", "spool/n2"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(s.dir, sub), 0o755))
	}
	for name, text := range map[string]string{
		"cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
		"slurm.conf":  strings.NewReplacer(replace...).Replace(configuration)} {
		err = errors.Join(err, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	return err
}

// up starts all, and waits until the nodes are idle.
func (s *Slurm) up() error {
	for _, name := range append([]string{"slurmctld"}, Nodes...) {
		if err := s.StartDaemon(name); err != nil {
			return err
		}
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(100 *
		time.Millisecond) {
		out, _ := s.Command("timeout", "2", "sinfo", "-h", "-N", "-p", "main", "-o", "%t").Output()
		if string(out) == "idle\nidle\n" {
			return nil
		}
	}
	return fmt.Errorf("Slurm does not start:\n%s", s.Log())
}

// Log is the end of the logs.
func (s *Slurm) Log() (text string) {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for _, path := range logs {
		log, _ := os.ReadFile(path)
		text += path + "\n" + string(log[max(0, len(log)-4000):])
	}
	return text
}

// Config is the path for the variable SLURM_CONF.
func (s *Slurm) Config() string { return filepath.Join(s.dir, "slurm.conf") }

// Command is a command of Slurm.
func (s *Slurm) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SLURM_CONF="+s.Config())
	return cmd
}

// Run runs a command of Slurm and returns its output.
func (s *Slurm) Run(name string, args ...string) (string, error) {
	out, err := s.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// StartDaemon starts the controller or a node.
func (s *Slurm) StartDaemon(name string) error {
	cmd := s.Command("slurmd", "-D", "-N", name, "-f", s.Config())
	if name == "slurmctld" {
		cmd = s.Command("slurmctld", "-D", "-f", s.Config())
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s.daemons[name] = cmd
	return cmd.Start()
}

// Kill kills the controller or a node by SIGKILL. Jobs of a node live on.
func (s *Slurm) Kill(name string) {
	if cmd := s.daemons[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(s.daemons, name)
	}
}

// Forget kills the controller and removes its memory.
func (s *Slurm) Forget() error {
	s.Kill("slurmctld")
	state := filepath.Join(s.dir, "state")
	return errors.Join(os.RemoveAll(state), os.MkdirAll(state, 0o755))
}

// Stop ends all jobs and daemons.
func (s *Slurm) Stop() {
	_, _ = s.Run("timeout", "5", "scancel", "--signal=KILL", "--full", "--me")
	for name := range s.daemons {
		s.Kill(name)
	}
	// The processes of jobs, and those that watch them, have the name of the folder in their words
	// or their environment.
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range found {
		environ, _ := os.ReadFile(proc + "/environ")
		words, _ := os.ReadFile(proc + "/cmdline")
		if bytes.Contains(environ, []byte("SLURM_CONF="+s.Config())) && filepath.Base(proc) !=
			fmt.Sprint(os.Getpid()) && (bytes.Contains(environ, []byte("SLURM_JOB_ID=")) ||
			bytes.HasPrefix(words, []byte("slurmstepd"))) {
			var pid int
			_, _ = fmt.Sscan(filepath.Base(proc), &pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
