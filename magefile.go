//go:build mage

// PM7 heats of formation for a table of molecules. First: mage batch.
package main

import (
	"context"
	_ "embed"
	"strings"

	"grimperium/internal/cli"
)

//go:embed magefile.go
var source string

// version is the number of the next release.
//
//go:embed VERSION
var version string

// tested is what mage reproduce compares with, and with which versions of the programs.
//
//go:embed testdata/reproduce/expected.json
var tested string

func init() {
	version = strings.TrimSpace(version)
	cli.Arguments(source, version)
}

// Batch [run] computes what is new, changed or failed.
//
// The results of each finished molecule go into its row of the table. Stop a batch with Ctrl-C or
// mage stop; the next batch goes on from there. Only these molecules:
//
//	mage batch mol_00001 mol_00007
//
// It reads pipeline.hcl and the table. It writes artefacts/ and the result columns of the table. It
// appends to batch_summary.log and validation_errors.log in ~/.grimperium; GRIMPERIUM_HOME names
// another folder.
//
// Exit code 0: all well. 1: some molecules failed. 2: a mistake in the call, the pipeline or the
// table, or a missing program. 11: another batch has the table. 130: interrupted.
func Batch(ctx context.Context,
	table *string, // the table, instead of the one that pipeline.hcl names
	artefacts *string, // the folder of artefacts, instead of pipeline.hcl's
	pipeline *string, // another pipeline.hcl
	set *string, // values of variables: 'search=crest, conformers=5'
	varFile *string, // a file of such values, one a line
	only *string, // these molecules: mol_00001,mol_00007, mol_0*, @FILE with one a line, or failed
	maxReruns *int, // how often a molecule may fail before it is skipped, instead of pipeline.hcl's
	jobs *int, // how many processor cores the batch may use, instead of pipeline.hcl's
	dryRun *bool, // say what would run and why; write nothing
	v *bool, // with -dryRun: list every molecule
	yes *bool, // compute finished results again without asking
	permissive *bool, // leave out rows that can't be used, instead of stopping
	failFast *bool, // start no more molecules after the first failure; those under way finish
	limit *int, // at most so many molecules
	retry *string, // try skipped molecules again: all, of a stage, or with a text in their message
	timeout *string, // the time of stages in this batch only: 'search=60m, pm7=5m'
	on *string, // have a cluster compute, as its block in pipeline.hcl says: slurm
	detach *bool, // with -on: submit and return; a last job merges the results
	cancel *bool, // with -on: end the tasks on the cluster, and merge what they have finished
) error {
	o := project(table, artefacts, pipeline, set)
	o.VarFile, o.Only, o.MaxReruns, o.Jobs = value(varFile), only, maxReruns, jobs
	o.DryRun, o.Verbose, o.Yes = value(dryRun), value(v), value(yes)
	o.Permissive, o.FailFast, o.Limit = value(permissive), value(failFast), value(limit)
	o.Retry, o.Timeout = value(retry), value(timeout)
	o.On, o.Detach, o.Cancel = value(on), value(detach), value(cancel)
	return cli.Batch(ctx, o)
}

// Rerun [run] computes a molecule again from nothing.
//
// It removes the results of the molecule, also those that are up to date, and computes them as
// batch does. Several molecules have commas between them:
//
//	mage rerun mol_00001,mol_00007
//
// It reads and writes what batch does, and has its exit codes.
func Rerun(ctx context.Context,
	molecules string, // mol_00001, or several with commas between them
	table, artefacts, pipeline, set *string, // as for batch
) error {
	return cli.Rerun(ctx, molecules, project(table, artefacts, pipeline, set))
}

// Stop [run] ends the running batch after what is under way.
//
// No new target starts. The next batch goes on from there. Tasks on a cluster start no new
// molecule, and their last job merges what is finished.
//
// It reads pipeline.hcl and the lock in artefacts/, and writes artefacts/.stop for the batch. The
// exit code is 0, also if no batch runs.
func Stop(
	table *string, // as for batch
	artefacts *string, // as for batch; pipeline.hcl is not read then
	pipeline *string, // as for batch
) error {
	return cli.Stop(project(table, artefacts, pipeline, nil))
}

// Setup [run] installs the programs that are missing.
//
// As root on Debian and Ubuntu it installs packages by apt-get. Elsewhere it prints the conda-forge
// command. It reads pipeline.hcl. With -check it installs nothing, and the exit code is 1 if a
// program is missing.
func Setup(ctx context.Context,
	check *bool, // only show which versions are there, and which versions were tested
	pipeline, set *string, // as for batch
) error {
	return cli.Setup(ctx, value(check), version, tested, project(nil, nil, pipeline, set))
}

// Why [run] shows what would run for a molecule, and why.
//
// It shows, stage by stage, which results of the molecule are up to date, and what changed for the
// others. One stage alone:
//
//	mage why mol_00001/pm7
//
// It reads pipeline.hcl, the table and artefacts/, and writes nothing.
func Why(ctx context.Context,
	mol string, // the molecule, or one of its targets
	table, artefacts, pipeline, set *string, // as for batch
) error {
	return cli.Why(ctx, mol, project(table, artefacts, pipeline, set))
}

// Bench [project] measures what a batch costs.
//
// It prints the tables in their short form, and works in temporary folders for some minutes. As
// root it installs Debian's make, ninja-build, snakemake and python3-pandas to compare with. It
// leaves out what it can't install. docs/evidence/performance.md has the long runs.
func Bench(ctx context.Context) error { return cli.Bench(ctx) }

// Check [pipeline] checks pipeline.hcl without running anything.
//
// It shows all mistakes; then the exit code is 2. Without a mistake it prints what each stage needs
// and gives. It reads pipeline.hcl, the files that it names, and the table, and writes nothing.
func Check(
	table, pipeline, set *string, // as for batch
) error {
	return cli.Check(project(table, nil, pipeline, set))
}

// Fmt [pipeline] indents and aligns pipeline.hcl in the usual way.
//
// It reads and writes pipeline.hcl, and changes white space alone.
func Fmt(
	pipeline *string, // as for batch
	check *bool, // only say whether it would change something: exit code 1
) error {
	return cli.Fmt(value(pipeline), value(check))
}

// Graph [pipeline] prints the stages as a Mermaid diagram.
//
// The diagram can be pasted into a page in Markdown. It reads pipeline.hcl and writes to standard
// output.
func Graph(
	pipeline, set *string, // as for batch
) error {
	return cli.Graph(project(nil, nil, pipeline, set))
}

// Prune [run] lists results that are no longer needed.
//
// These are results of molecules that left the table, results of stages that left the pipeline, and
// earlier results. Without -remove it only lists. With -remove it deletes; no batch may be running.
// Earlier results that the next batch may bring back stay, and so does what no batch has made.
// It reads pipeline.hcl, the table and artefacts/.
func Prune(ctx context.Context,
	remove *bool, // delete them
	yes *bool, // delete the results of more than half of the molecules without asking
	table, artefacts, pipeline *string, // as for batch
) error {
	o := project(table, artefacts, pipeline, nil)
	o.Yes = value(yes)
	return cli.Prune(ctx, value(remove), o)
}

// Test [project] runs all tests, with the real programs.
//
// It prints a line for each package as it is done. It needs what setup installs, and strace, zstd,
// Slurm, PostgreSQL, tmux, fish, zsh, man, pandas, and g++ for DuckDB, which reads the exports. It
// installs these itself where it can, and Chromium, without which the pages are not opened. It
// works in temporary folders.
func Test(ctx context.Context,
	race *bool, // with the race detector, which needs a C compiler
) error {
	return cli.Test(ctx, value(race))
}

// Validate [table] lists the rows that can't be used.
//
// It warns of others: nheavy differs from the SMILES, H298_cbs is implausible, a SMILES leaves
// stereo open, a molecule is there twice. Warnings do not change the exit code.
//
// It reads pipeline.hcl and the table, has RDKit read every SMILES, and writes nothing. Exit code:
// 0 all rows can be used, 2 some can't; with -permissive 2 only if no batch can run on the table.
func Validate(ctx context.Context,
	permissive *bool, // end well although some rows can't be used
	format *string, // text (the default) or json
	table, pipeline, set *string, // as for batch
) error {
	o := project(table, nil, pipeline, set)
	o.Permissive = value(permissive)
	return cli.Validate(ctx, value(format), o)
}

// Info [table] shows the progress of the table.
//
// It prints statuses, failures by stage and reason, times, and how long the rest takes. It reads
// pipeline.hcl, the table and artefacts/journal.jsonl, and writes nothing.
func Info(
	count *bool, // only the number of molecules
	sizes *bool, // only the disk use of the artefacts, by stage; it looks at every file
	table, artefacts, pipeline *string, // as for batch
) error {
	return cli.Info(value(count), value(sizes), project(table, artefacts, pipeline, nil))
}

// Export [table] writes the results in formats of other programs.
//
// Of the table: json, jsonl, csv, parquet, sqlite. Of the conformers: sdf, xyz.
//
//	mage export -format=parquet -out=results.parquet
//
// Enthalpies are in kcal/mol (gas, 298.15 K), coordinates in Å. A blank cell and a marker such as
// nan are null, and blank in csv. docs/columns.md describes the columns.
//
// It reads pipeline.hcl, the table and, for conformers, artefacts/. It writes to standard output or
// to a file.
func Export(ctx context.Context,
	format *string, // json, jsonl, csv, parquet, sqlite, sdf or xyz; else as out ends, or json
	conformers *bool, // with the energies and the geometry of every conformer; not for csv
	out *string, // the file, which is replaced
	table, artefacts, pipeline *string, // as for batch
) error {
	return cli.Export(ctx, value(format), value(out), value(conformers),
		project(table, artefacts, pipeline, nil))
}

// History [table] shows what every batch did to a molecule.
//
// It shows what each batch ran and changed, with which versions, who ran it and where. With -at it
// writes the rows of the table as they were at the end of a day:
//
//	mage history mol_00001
//	mage history -at=2026-11-01 -out=then.csv
//
// It leaves out rows that no batch had written by then, and columns that the pipeline does not use.
// A row that was deleted since is there: when that was, no batch has seen.
// It reads pipeline.hcl, the table and the journal in artefacts/, and writes nothing without -out.
func History(ctx context.Context,
	at *string, // a day, or a time such as 2026-11-01T15:04, of this machine's zone
	out *string, // with -at: the file, which is replaced, instead of standard output
	table, artefacts, pipeline *string, // as for batch
) error {
	return cli.History(ctx, value(at), value(out), project(table, artefacts, pipeline, nil))
}

// Import [table] makes a table out of a file of another program.
//
// It reads CSV with any separator, SMILES (.smi), SDF and Parquet.
//
//	mage import theirs.csv -out=mine.csv
//
// It finds the columns by their names or their content, and says what it chose. It checks the new
// table as validate does: duplicates, salts and broken structures are listed, and stay. Charge and
// multiplicity follow from the SMILES where the file has no such columns. All other columns are
// kept.
//
// Exit code: 0 all rows can be used, 1 some can't, 2 nothing was written.
func Import(ctx context.Context,
	file string, // the file to read
	out *string, // the table to make, of any kind: FILE.csv, sqlite:FILE or postgres://...
	id *string, // the column with names of the molecules
	smiles *string, // the column with SMILES
	charge *string, // the column with charges, or smiles: those of the SMILES
	multiplicity *string, // the column with multiplicities
	reference *string, // the column with reference enthalpies, kcal/mol
	pipeline, set *string, // as for batch
) error {
	from := cli.From{ID: value(id), SMILES: value(smiles), Charge: value(charge),
		Multiplicity: value(multiplicity), Reference: value(reference)}
	return cli.Import(ctx, file, value(out), from, project(nil, nil, pipeline, set))
}

// Convert [table] copies a table to CSV, SQLite or PostgreSQL.
//
//	mage convert data/thermo_pm7.csv sqlite:data/thermo.db
//
// A file that ends with .db, .sqlite or .sqlite3 is one of SQLite, too. A PostgreSQL table is
// postgres://USER@HOST/DATABASE?table=NAME. The second table must not be there yet.
//
// Nothing gets lost: the way back to CSV gives the same bytes. docs/tables.md says when which kind
// is the right one.
func Convert(ctx context.Context,
	from string, // the table
	to string, // the copy
) error {
	return cli.Convert(ctx, from, to)
}

// Report [table] writes a page about the results.
//
// The page shows how good the results are, outliers, conformers, failures, cost, all molecules, and
// a paragraph for a paper. It is one file, report.html, and needs no network.
//
// It reads pipeline.hcl, the table and artefacts/. With -format=json it prints the numbers.
// Drawings of the molecules need RDKit.
func Report(ctx context.Context,
	out *string, // the file, which is replaced, instead of report.html
	format *string, // html (the default) or json
	against *string, // another table, such as an earlier copy, to compare with
	table, artefacts, pipeline, set *string, // as for batch
) error {
	return cli.Report(ctx, value(format), value(out), value(against),
		project(table, artefacts, pipeline, set))
}

// Serve [run] shows the running batch and the report in a browser.
//
// It listens on this machine alone, unless -addr names another address: then every request needs
// the token that is printed. Ctrl-C ends it. It reads pipeline.hcl, the table and artefacts/, and
// writes nothing.
func Serve(ctx context.Context,
	addr *string, // address and port, instead of 127.0.0.1:8457
	table, artefacts, pipeline, set *string, // as for batch
) error {
	return cli.Serve(ctx, value(addr), project(table, artefacts, pipeline, set))
}

// Settings [run] prints every setting and where it comes from.
//
// It also says which values of the last batch the next one would not keep: -set holds for one
// batch. It reads pipeline.hcl, the table's header, the environment and the journal, and writes
// nothing.
func Settings(
	table, artefacts, pipeline, set, varFile *string, // as for batch
	maxReruns, jobs *int, // as for batch
) error {
	o := project(table, artefacts, pipeline, set)
	o.VarFile, o.MaxReruns, o.Jobs = value(varFile), maxReruns, jobs
	return cli.Settings(o)
}

// Reproduce [project] compares a small set with committed numbers.
//
// It computes the molecules of testdata/reproduce from nothing, in a temporary folder. It reads
// pipeline.hcl and testdata/reproduce/, and writes nothing else without -update. Exit code: 1 if a
// number differs by more than its tolerance.
func Reproduce(ctx context.Context,
	update *bool, // write the new numbers to testdata/reproduce/expected.json
	pipeline, set *string, // as for batch
) error {
	return cli.Reproduce(ctx, value(update), project(nil, nil, pipeline, set))
}

// Lint [project] checks how pages, comments and functions are written.
//
// It reads the files of this folder and prints what breaks a rule, with what to write instead.
// Exit code: 1 when something does.
func Lint(ctx context.Context) error { return cli.Lint(ctx) }

// Release [project] builds the program grimperium for Linux and macOS.
//
// It needs a checkout and Go. It writes dist/: an archive for each platform, with the program, its
// man page and its completions; a list of the modules (CycloneDX); and SHA256SUMS. docs/release.md
// says how to make a release.
func Release(ctx context.Context,
	platform *string, // this one alone, as linux/amd64
) error {
	return cli.Release(ctx, "dist", version, source, value(platform))
}

// Man [project] prints the man page.
//
//	mage man | man -l -
func Man() error { return cli.Man(version) }

// Completion [project] prints the completion of commands for a shell.
//
// The shells are bash, fish and zsh.
//
//	mage completion bash > ~/.local/share/bash-completion/completions/mage
//	mage completion fish > ~/.config/fish/completions/mage.fish
//	mage completion zsh > ~/.zfunc/_mage
//
// For zsh the folder ~/.zfunc must be in fpath before compinit runs.
func Completion(
	shell string, // bash, fish or zsh
) error {
	return cli.Completion(shell)
}

// Torture [project] kills batches, and checks that nothing is lost.
//
// It kills batches of a quick pipeline at random instants and at every operation on a file, and
// makes the disk fail there. It works in temporary folders. docs/evidence/reliability.md says what
// it checks. Exit code: 1 when something was lost.
func Torture(ctx context.Context,
	kills *int, // at random instants (1000), besides the faults at every operation
	states *int, // after a power cut, from which the next batch is run (7000)
) error {
	return cli.Torture(ctx, kills, states)
}

// project are the flags that name a project; nil is one that is not given, or that is none.
func project(table, artefacts, pipeline, set *string) cli.Options {
	return cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline),
		Set: value(set)}
}

// value is the value of a flag, or the zero value if the flag is not given.
func value[T any](flag *T) T {
	if flag == nil {
		var none T
		return none
	}
	return *flag
}
