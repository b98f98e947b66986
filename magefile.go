//go:build mage

// Grimperium: PM7 heats of formation for a table of molecules.
//
// pipeline.hcl says what is computed, data/thermo_pm7.csv holds the molecules and the results, artefacts/ has every
// file on the way. A command takes its flags as -name=value; mage -h COMMAND lists them. The word in brackets says what a command is about: the run, the
// table, the pipeline, or this project itself.
package main

import (
	"context"
	"os"
	"os/exec"

	"grimperium/internal/cli"
)

// Batch [run] computes what is new, changed or failed, and merges it into the table.
//
// It reads pipeline.hcl and the table, writes artefacts/ and the table's result columns, and appends what it did to batch_summary.log and
// validation_errors.log in ~/.grimperium (GRIMPERIUM_HOME names another folder). Stop it with Ctrl-C; the next
// batch goes on from there. Exit code: 0 all well, 1 some molecules failed, 2 a mistake in the call, the pipeline or
// the table, or a missing program, 11 another batch has the table, 130 interrupted.
func Batch(ctx context.Context,
	table *string, // the table, instead of the one that pipeline.hcl names
	artefacts *string, // the folder of artefacts, instead of pipeline.hcl's
	pipeline *string, // another pipeline.hcl
	set *string, // values of variables: 'search=crest, conformers=5'
	varFile *string, // a file of such values, one a line
	only *string, // these molecules only: mol_00001,mol_00007
	maxReruns *int, // how often a failed molecule is tried, instead of pipeline.hcl's
	jobs *int, // how many processor cores the batch may use, instead of pipeline.hcl's
	dryRun *bool, // say what would run and why; write nothing
	permissive *bool, // leave out rows that can't be used, instead of stopping
	failFast *bool, // start no more molecules after the first that fails; those under way are finished
	limit *int, // at most so many molecules
	retry *string, // try skipped molecules, and targets that were left out, again: all, those of a stage, or those with a text in their error message
	timeout *string, // the stages' time in this batch only: 'search=60m, pm7=5m'
) error {
	return cli.Batch(ctx, cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline), Set: value(set), VarFile: value(varFile),
		Only: value(only), MaxReruns: maxReruns, Jobs: jobs, DryRun: value(dryRun), Permissive: value(permissive),
		FailFast: value(failFast), Limit: value(limit), Retry: value(retry), Timeout: value(timeout)})
}

// Setup [run] installs the programs that the pipeline runs, where they are missing.
//
// It reads pipeline.hcl. On Debian and Ubuntu as root it installs packages by apt-get; elsewhere it prints the conda-forge command.
func Setup(ctx context.Context,
	pipeline *string, // another pipeline.hcl
	set *string, // values of variables, as for batch
) error {
	return cli.Setup(ctx, cli.Options{Pipeline: value(pipeline), Set: value(set)})
}

// Why [run] tells of each target of a molecule whether it is fresh, and what changed where it is not.
//
// mage why mol_00001, or mage why mol_00001/pm7 for one stage. It reads pipeline.hcl, the table and artefacts/, and
// writes nothing.
func Why(ctx context.Context,
	mol string, // the molecule, or one of its targets
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Why(ctx, mol, cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline), Set: value(set)})
}

// Bench [project] measures what a batch costs beside the chemistry, in the short form, and prints the tables.
//
// It works in temporary folders, for some minutes. It installs Debian's make, ninja-build, snakemake and python3-pandas to compare with, as root, and leaves out
// what it can't install. docs/performance.md has the long runs.
func Bench(ctx context.Context) error {
	for _, args := range [][]string{{"./bench/graph", "-n=300"}, {"./bench/overhead", "-rounds=1"}, {"./bench/table", "-parts=merge", "-rounds=2"}} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"run"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

// Check [pipeline] checks pipeline.hcl against the table's header, without running anything, and tells what each stage gives.
//
// It reads pipeline.hcl, the files that it names, and the table, and writes nothing. Exit code 2: there are mistakes; all are shown.
func Check(
	table *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Check(cli.Options{Table: value(table), Pipeline: value(pipeline), Set: value(set)})
}

// Fmt [pipeline] lays out pipeline.hcl in the usual way.
//
// It reads and writes pipeline.hcl, white space alone.
func Fmt(
	pipeline *string, // another pipeline.hcl
	check *bool, // only say whether it would change something: exit code 1
) error {
	return cli.Fmt(value(pipeline), value(check))
}

// Graph [pipeline] prints the stages as a Mermaid diagram, to be pasted into a README.
//
// It reads pipeline.hcl and writes to standard output.
func Graph(
	pipeline *string, // another pipeline.hcl
	set *string, // as for batch
) error {
	return cli.Graph(cli.Options{Pipeline: value(pipeline), Set: value(set)})
}

// Prune [run] lists what nothing refers to in artefacts/: molecules that left the table, stages that left the pipeline,
// earlier results.
//
// It reads pipeline.hcl, the table and artefacts/, and writes nothing but with -remove, which no batch may be running for.
func Prune(
	remove *bool, // remove it
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
) error {
	return cli.Prune(value(remove), cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline)})
}

// Test [project] runs all tests, the ones with the real programs among them.
//
// It needs what setup installs, and strace and zstd, which it installs itself where it can; it works in temporary folders and writes nothing here.
func Test(ctx context.Context,
	race *bool, // with the race detector, which needs a C compiler
) error {
	if err := cli.TestTools(ctx); err != nil {
		return err
	}
	args := []string{"test", "-timeout=25m", "./..."}
	if value(race) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// Validate [table] lists every row that can't be used, and what is odd about the others.
//
// It reads pipeline.hcl and the table, and writes nothing. Exit code: 0 all rows can be used, 2 some can't; with -permissive 2 only when no batch can
// run on the table at all. Warnings don't count: a nheavy or a charge that isn't the SMILES's, an H298_cbs that no such molecule can have, a SMILES
// that is there twice.
func Validate(
	permissive *bool, // end well although some rows can't be used
	format *string, // text (the default) or json
	table *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Validate(value(format), cli.Options{Table: value(table), Pipeline: value(pipeline), Set: value(set), Permissive: value(permissive)})
}

// Info [table] tells where the table stands: statuses, failures by stage and reason, times, how long the rest takes.
//
// It reads pipeline.hcl, the table and artefacts/journal.jsonl, and writes nothing.
func Info(
	count *bool, // only the number of molecules
	sizes *bool, // only what the artefacts take on the disk, by stage; it looks at every file
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
) error {
	return cli.Info(value(count), value(sizes), cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline)})
}

// Export [table] writes the table as json, jsonl or csv, or its PM7 conformers as sdf or xyz.
//
// It reads pipeline.hcl, the table and, for conformers, artefacts/. It writes to standard output or to a file. Enthalpies are in kcal/mol (gas,
// 298.15 K), coordinates in Å. A blank cell and a marker as nan is null in json and blank in csv.
func Export(
	format *string, // json (the default), jsonl, csv, sdf or xyz
	out *string, // the file, which is replaced
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
) error {
	return cli.Export(value(format), value(out), cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline)})
}

// Settings [run] prints every setting with its value and where that comes from.
//
// It reads pipeline.hcl, the table's header and the environment, and writes nothing. The flags are those of batch.
func Settings(
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
	varFile *string, // as for batch
	maxReruns *int, // as for batch
	jobs *int, // as for batch
) error {
	return cli.Settings(cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline), Set: value(set), VarFile: value(varFile),
		MaxReruns: maxReruns, Jobs: jobs})
}

// Reproduce [project] computes the molecules of testdata/reproduce from nothing and compares every number with the committed one.
//
// It reads pipeline.hcl and testdata/reproduce/, works in a temporary folder, and writes nothing but with -update. Exit code: 1 when a number differs
// by more than is tolerated.
func Reproduce(ctx context.Context,
	update *bool, // write the new numbers to testdata/reproduce/expected.json
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Reproduce(ctx, value(update), cli.Options{Pipeline: value(pipeline), Set: value(set)})
}

// Torture [project] kills batches of a quick pipeline at random instants and wherever it would hurt, has the disk fail there, and checks that nothing
// finished is lost.
//
// It works in a temporary folder, which it leaves for reading when something was lost. docs/reliability.md tells what it looks at. Exit code: 1 when
// something was lost.
func Torture(ctx context.Context,
	kills *int, // at random instants (1000), besides those at each fault point
	molecules *int, // rows of the table (200)
	seed *int, // of the random instants; each run prints its own
) error {
	o := cli.TortureOptions{Kills: 1000, Molecules: value(molecules), Seed: int64(value(seed))}
	if kills != nil {
		o.Kills = *kills
	}
	return cli.Torture(ctx, o)
}

// Compare [project] runs both conformer searches on chosen molecules, and prints side by side what they found and took.
//
// mage compare -only=mol_00014,mol_00007. It reads pipeline.hcl and the table, works in a temporary folder, and writes nothing else. It needs crest, which
// takes minutes a molecule; without it only the other search is shown. Exit code: 1 when a molecule failed, 2 when crest is missing.
func Compare(ctx context.Context,
	only *string, // the molecules
	table *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
	jobs *int, // as for batch
) error {
	return cli.Compare(ctx, cli.Options{Only: value(only), Table: value(table), Pipeline: value(pipeline), Set: value(set), Jobs: jobs})
}

// value is what a flag says, or nothing where it is not given.
func value[T any](flag *T) T {
	if flag == nil {
		var none T
		return none
	}
	return *flag
}
