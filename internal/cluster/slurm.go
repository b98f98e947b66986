package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// commandTime is how long a command of Slurm may take. A busy controller takes seconds.
const commandTime = time.Minute

// notPassed are the prefixes of variables that would set options of Slurm's commands, or tell the
// tasks of a surrounding job.
var notPassed = []string{"SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_"}

// slurm runs a command of Slurm and returns its output.
func slurm(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	for _, kv := range os.Environ() {
		own := func(prefix string) bool { return strings.HasPrefix(kv, prefix) }
		if !slices.ContainsFunc(notPassed, own) || own("SLURM_CONF=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not meant for it
	out, err := cmd.Output()
	switch words := strings.Join(strings.Fields(stderr.String()), " "); {
	case errors.Is(err, exec.ErrNotFound):
		err = missing(name)
	case ctx.Err() != nil:
		err = fmt.Errorf("%s gave no answer within %v", name, commandTime)
	case err != nil && words != "":
		err = refusal(fmt.Sprintf("%s: %s", name, strings.TrimPrefix(words, name+": ")))
	case err != nil:
		err = fmt.Errorf("%s: %w", name, err)
	}
	return string(out), err
}

// refusal are Slurm's words for what it does not do.
type refusal string

func (r refusal) Error() string { return string(r) }

// missing is a command of Slurm that this host lacks.
type missing string

func (m missing) Error() string {
	return string(m) + " is not there: start the batch on a host that can submit to Slurm"
}

// slurmTask is a task as squeue lists it.
type slurmTask struct {
	submission, job, state, reason, node string
	index                                int // in its array; -1 without one
}

// queue lists the tasks of submissions, by their unique names. With an error nothing is known.
func queue(ctx context.Context, names []string) (out []slurmTask, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	text, err := slurm(ctx, "squeue", "--noheader", "--array", "--states=all",
		"--name="+strings.Join(names, ","), "--format=%j|%F|%K|%T|%r|%N")
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 6 {
			continue
		}
		l := slurmTask{f[0], f[1], f[3], f[4], f[5], -1}
		if n, err := strconv.Atoi(f[2]); err == nil {
			l.index, l.job = n, f[1]+"_"+f[2]
		}
		out = append(out, l)
	}
	return out, err
}

// submit submits a script, and returns the job's number.
func submit(ctx context.Context, args []string) (job string, err error) {
	out, err := slurm(ctx, "sbatch", append([]string{"--parsable"}, args...)...)
	job, _, _ = strings.Cut(strings.TrimSpace(out), ";") // a cluster's name may follow
	if err == nil && job == "" {
		err = errors.New("sbatch printed no number of a job")
	}
	return job, err
}

// cancel ends the tasks of a submission, with a state only those in it.
func cancel(ctx context.Context, name string, state ...string) error {
	args := []string{"--quiet", "--name=" + name}
	for _, s := range state {
		args = append(args, "--state="+s)
	}
	_, err := slurm(ctx, "scancel", args...)
	return err
}

// stateOf is what Slurm's word for a task's state means. counts says that a target under way may
// have caused the end; blame, that the node may have.
func stateOf(word string) (s State, counts, blame bool) {
	switch word {
	case "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT":
		return Waiting, false, false
	case "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT",
		"RESIZING":
		return Running, false, false
	case "NODE_FAIL", "BOOT_FAIL":
		return Over, false, true
	case "PREEMPTED", "CANCELLED", "REVOKED":
		return Over, false, false
	case "FAILED":
		return Over, true, true
	}
	return Over, true, false
}

// stuck are the reasons for which a waiting task starts never, or not without a person.
func stuck(reason string) bool {
	return slices.ContainsFunc([]string{"held", "Held", "NeverSatisfied", "PartitionConfig",
		"PartitionDown", "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints",
		"ReqNodeNotAvail", "are DOWN", "Invalid", "Inactive", "NotAllowed", "DeadLine",
		"MinutesLimit", "MinutesPerJob", "WallDuration",
	}, func(part string) bool { return strings.Contains(reason, part) })
}
