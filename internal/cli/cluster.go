package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// init is the main function of a task on a cluster: mage writes that of this executable.
func init() {
	if len(os.Args) != 3 || os.Args[1] != cluster.TaskCommand {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := cluster.Do(ctx, os.Args[2], func(s pipeline.Snapshot) (batch.Config, error) {
		p, err := s.Load(loadOptions())
		if err != nil {
			return batch.Config{}, err
		}
		st, err := store.Open(p.Artefacts)
		return newProject(p, st).Config, err
	})
	stop()
	if err != nil {
		fmt.Fprintln(stderr, "Error:", err)
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// onCluster has a batch give its molecules to a cluster, if the flags say so.
func (pr *project) onCluster(ctx context.Context, o Options) (*cluster.Watcher, error) {
	if o.On == "" && (o.Detach || o.Cancel) {
		return nil, errors.New("-detach and -cancel are for a batch on a cluster: -on=slurm")
	}
	if o.On == "" {
		return nil, nil
	}
	run, err := cluster.Find(pr.Store.Root())
	if err != nil {
		return nil, err
	}
	if o.Cancel && run != nil && pr.Pipeline.Cluster == nil { // the block was removed since
		pr.Pipeline.Cluster = &pipeline.Cluster{Scheduler: "slurm"}
	}
	spec := pr.Pipeline.Cluster
	switch {
	case spec == nil || spec.Scheduler != o.On:
		like := ""
		if o.On != "slurm" {
			like = batch.Like(o.On, []string{"slurm"}, "-on=")
		}
		return nil, fmt.Errorf("-on=%[1]s: pipeline.hcl has no block cluster %[1]q; "+
			"docs/cluster.md shows one%[2]s", o.On, like)
	case o.FailFast:
		return nil, errors.New("-failFast is for a batch on this machine alone")
	case o.Detach && o.Cancel:
		return nil, errors.New("-detach submits, -cancel ends what was submitted: give one of them")
	case o.Cancel && run == nil:
		return nil, errors.New("no cluster run is under way: there is nothing to cancel")
	}
	if run != nil && run.Pipeline.Table != pr.Pipeline.Table {
		table := batch.ShownPath(run.Pipeline.Table)
		return nil, fmt.Errorf("tasks of a cluster compute the table %s, not %s. Go on with them "+
			"by -table=%[3]s, or end them by -table=%[3]s -cancel", table,
			batch.ShownPath(pr.Pipeline.Table), batch.Quoted(table))
	}
	w := &cluster.Watcher{Pipeline: pr.Pipeline, Timeouts: pr.Timeouts, Again: os.Args[1:],
		Estimate: journal.Past(pr.Store.Path(store.JournalName)),
		Last:     os.Getenv(cluster.LastJob) != ""}
	if o.Detach {
		w.Mode = cluster.Detach
	} else if o.Cancel {
		w.Mode = cluster.Cancel
	}
	pr.Remote, pr.Resume, pr.Stopped = w.Remote, run != nil, w.Last
	if run != nil && (w.Last || o.Cancel) { // such a batch merges
		pr.Identities = run.Programs
	}
	if o.Cancel && !o.DryRun { // before anything else can be wrong
		err = w.End(ctx)
	}
	return w, err
}

// notOnCluster is an error while tasks of a cluster work on the artefacts.
func notOnCluster(st *store.Store) error {
	run, err := cluster.Find(st.Root())
	if err == nil && run != nil {
		err = fmt.Errorf("%s: tasks of a cluster work on it (%s, submitted on %s). %s batch "+
			"-on=slurm goes on with them; %[4]s batch -on=slurm -cancel ends them",
			batch.ShownPath(st.Root()), run.ID, run.Host, command.Name)
	}
	return err
}
