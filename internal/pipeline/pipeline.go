// Package pipeline reads pipeline.hcl. It checks the whole file before anything runs, and orders
// the stages by their references. For one molecule it evaluates what a target does, what its
// outputs mean, and what goes into the table.
//
// It runs nothing, stores nothing and knows no chemistry: the functions that a pipeline may call
// are handed in. The types of hcl and cty end here; what leaves the package are plain Go values.
// Load returns an *Errors with every mistake of the file. The methods of Molecule return an
// *EvalError for a mistake that a molecule's values bring to light.
package pipeline

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Column is a column of the table as expressions see it: mol.NAME.
type Column struct {
	Name   string
	Number bool // its cells are numbers; else text
}

// Options say what a pipeline is read with.
type Options struct {
	Functions []Function // beyond the standard ones
	Inputs    []string   // columns of the molecule, which a merge block must not write
	Written   []string   // columns of the batch, which no expression of a result may name either
	Export    any        // a struct (see gocty) that the export block fills; nil: there is none
	// Builtins are the commands that run inside the batch, and say what is wrong with their words.
	Builtins map[string]func(words []string) error
	// Columns returns the table's columns. It is called with the path of the table.
	Columns func(table string) ([]Column, error)
	Table   string // instead of the pipeline's own table, "" for that
	Set     string // "name=value, name=value" for variables, in HCL's syntax
	VarFile string // a file of such assignments, below Set in precedence
	Environ []string
	Reruns  *int // instead of max_reruns
	Jobs    *int // instead of jobs

	sources map[string][]byte // of a Snapshot: contents of files, by path
}

// Pipeline is a checked pipeline.hcl. Molecules may be evaluated at the same time.
type Pipeline struct {
	Path      string // as the user named it
	Dir       string // absolute; relative names in the file start here
	Table     string
	Artefacts string
	Store     string // how a finished molecule is kept: "zip", "folder", or "" for neither
	MaxReruns int
	Jobs      int      // cores that a batch may use, and molecules that it has under way
	Stages    []*Stage // in the order in which they run
	Programs  map[string]*Program
	Variables []*Variable // in the order of the file
	Columns   []string    // the columns that expressions read, sorted
	Checked   []string    // those of them that decide whether a row can be used
	Merged    []string    // the columns that the merge block writes, in its order
	Alarms    Alarms
	Env       map[string]string // what the pipeline block sets for every program
	// MaxRecompute is the share of the finished results, from 0 to 1, that a batch computes again
	// without being told to.
	MaxRecompute float64
	// SmallestFirst is the order by Molecule.Size; else molecules are in table order.
	SmallestFirst bool
	Cluster       *Cluster       // the cluster block, nil for none
	Given         map[string]int // the lines of the attributes that the pipeline block has
	// Key changes with the text of the file, but not with comments and layout. It also changes with
	// a variable's value, a file that the pipeline reads, and the version of a function. While it
	// stays, nothing needs to be evaluated.
	Key string

	molecule                []*expression // conditions of the molecule block
	ofMolecule, ofVariables []*expression // all that these blocks have
	size                    *expression   // of the molecule block, nil where it has none
	merge                   []*expression
	export                  []*expression
	display                 []*expression
	exports                 cty.Type // what the export block is converted to
	locals                  map[string]*expression
	cyclic                  bool // the local values need each other
	variables               map[string]*Variable
	stages                  map[string]*Stage
	columns                 map[string]column
	declared                []*hcl.Block // of columns
	anyColumn               bool         // the table could not be read: no column is unknown
	functions               map[string]function.Function
	versions                map[string]int // of the functions handed in
	fileParams              map[string]int // how many first parameters of a function are files
	builtins                map[string]func(words []string) error
	inputs, written         []string
	files                   map[string]string    // what file() and source read, path to SHA-256
	sources                 map[string][]byte    // their content
	texts                   map[string]*hcl.File // by the name that diagnostics have for them
	mistakes                hcl.Diagnostics      // that loading has found
	src                     []byte               // with LF and without a byte order mark
	clusterAt               hcl.Range            // of the cluster block
	watch                   *watch               // nil once the file is checked
	typed                   *Molecule            // of the check: all results are unknown
	vars                    cty.Value            // var
	absent                  map[string]cty.Value // stage, before any has run
}

// Files are the absolute paths of the files that the pipeline reads, sorted.
func (p *Pipeline) Files() []string { return names(p.files) }

type column struct {
	typ      cty.Type // a number, a text, or dynamic if the block column has a mistake
	declared bool
}

// Alarms say above which shares, from 0 to 1, a batch speaks up; 0 is never.
type Alarms struct {
	Failures float64 // of the last hundred molecules of the batch
	Invalid  float64 // of the table's rows
	Stop     bool    // the batch ends then
}

// Stage is a stage block.
type Stage struct {
	Name, Title string
	Titled      bool // the file gives it a title, and so a part of the progress bar
	ForEach     bool
	Outputs     map[string]string // name to file name in the stage's folder
	DependsOn   []string          // stages that its expressions name, sorted
	Decides     []string          // those that enabled and for_each name
	Program     string            // first word of its command: a program or a builtin
	Programs    []string          // what it runs, the further ones included; no builtins
	Builtin     bool
	Worker      []string // words that start its program as a worker; nil: it is none
	Salvage     []string // files of an attempt without a result that the next finds in salvage/
	Keep        []string // patterns (path.Match) of files that stay beside the outputs
	Compress    []string // of the outputs and these, the ones that are stored compressed
	Line        int
	Limits      Limits
	Cores       int               // that its program takes
	ExitCodes   map[int]string    // what its program means by them, for the failure's message
	Signals     map[string]string // by name, as "SEGV": what the message adds
	NoRetry     []int             // exit codes after which no attempt can succeed
	Optional    bool              // the molecule's result is good without this stage
	// AtLeast is how many targets must succeed for the failed ones to be left out; 0: every target.
	AtLeast int

	enabled, each, command, timeout, env, programs, cores *expression
	worker, validate, outputs, values, warnings           *expression
	files                                                 []*file
	pre, post                                             []*expression
	expressions                                           []*expression
	valueType                                             cty.Type // dynamic: not known yet
	off                                                   bool     // for every molecule
	vague                                                 bool     // outputs has a mistake
	asked                                                 []string // attributes that the file names
	none                                                  map[string]cty.Value
	watched                                               []Input // user's files in its command
	recipe                                                *recipe
	rng, compressed                                       hcl.Range // block, and compress
}

// Limits bound what a stage's program may leave in its folder.
type Limits struct {
	Bytes int64
	Files int
}

// Program is a program block, or a program that a command names without one.
type Program struct {
	Name       string
	Candidates []string       // names or paths, the first that works is taken
	Version    []string       // arguments that print its version; nil: its content counts
	Pattern    *regexp.Regexp // what of that answer is its version; nil: a whole line
	Debian     string         // the Debian package that has it; "" for none
	Conda      string         // the conda-forge package that has it; "" for none
	Line       int
}

// file is a file block of a stage.
type file struct {
	name            string
	content, source *expression
}

// Task is what a target does: everything that decides its result, evaluated. Argv, Env and the
// files name inputs as they lie in the scratch folder.
type Task struct {
	Argv                  []string
	Env                   []string // NAME=value, sorted, as the pipeline sets it
	Files                 []TaskFile
	Inputs                []Input // files of other targets, as Files, Env and Argv name them
	Watched               []Input // user's files that the command names by their path
	Timeout               time.Duration
	Programs              []string
	HashedArgv, HashedEnv []string // without what ignore_changes leaves out
	Own                   bool     // Files has a file of the user's that is this molecule's alone

	folder string // of the inputs, in the scratch folder
}

// Same reports whether two tasks run the same command on the same files, in whatever time.
func (t *Task) Same(o *Task) bool {
	same := func(a, b TaskFile) bool { return a.Name == b.Name && a.SHA256 == b.SHA256 }
	return slices.Equal(t.HashedArgv, o.HashedArgv) && slices.Equal(t.HashedEnv, o.HashedEnv) &&
		slices.EqualFunc(t.Files, o.Files, same)
}

// TaskFile is a file that is written into the scratch folder before the program starts.
type TaskFile struct {
	Name    string
	Content []byte
	SHA256  string // of Content without what ignore_changes leaves out
	Keep    bool   // beside the outputs: it is of this target alone, and tells a reader what ran
}

// Input is an output of another target.
type Input struct {
	Name, Path, SHA256 string
	Local              string // its name in the scratch folder, as "in/pool.xyz"
	Size               int64  // bytes, unpacked where it is stored compressed
}

// Stage returns the stage of that name, nil when there is none.
func (p *Pipeline) Stage(name string) *Stage { return p.stages[name] }

// Conditional says whether the stage has an enabled attribute.
func (s *Stage) Conditional() bool { return s.enabled != nil }

// Off says whether the stage is turned off for every molecule. Its programs need not be there.
func (s *Stage) Off() bool { return s.off }

// Instance is the name of a target: "pm7/2" for the second of a for_each, else the stage's own.
func (s *Stage) Instance(i int) string {
	if !s.ForEach {
		return s.Name
	}
	return fmt.Sprintf("%s/%d", s.Name, i+1)
}

// Spares reports whether failed targets of the stage may be left out.
func (s *Stage) Spares() bool { return s.AtLeast > 0 || s.Optional }

// FileNames returns the names of a target's outputs and written files in its folder, sorted.
func (s *Stage) FileNames() []string {
	names := slices.Collect(maps.Values(s.Outputs))
	for _, f := range s.files {
		names = append(names, f.name)
	}
	return sorted(names)
}

// Values tells the names and types of the stage's values, sorted, as "energy number".
func (s *Stage) Values() (out []string) {
	if !s.valueType.IsObjectType() {
		return []string{"known when the stage has run"}
	}
	types := s.valueType.AttributeTypes()
	for _, name := range names(types) {
		text := "any"
		if t := types[name]; t != cty.DynamicPseudoType {
			text = strings.TrimPrefix(t.FriendlyName(), "a ")
		}
		out = append(out, name+" "+text)
	}
	return out
}
