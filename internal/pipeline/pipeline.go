// Package pipeline reads pipeline.hcl: it checks the whole file before anything runs, orders the stages by
// their references, and evaluates, for one molecule, what a target would do, what its outputs mean and what
// goes into the table.
//
// It runs nothing, stores nothing and knows no chemistry: the functions that a pipeline may call are handed in.
// The types of hcl and cty end here; what leaves the package are plain Go values.
package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
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
	Builtins  []string   // names of commands that run inside the batch
	Reserved  []string   // columns that a merge block must not write
	// Columns returns the table's columns; it is called with the path of the table once that is known.
	Columns func(table string) ([]Column, error)
	Table   string // instead of the pipeline's own table, "" for that
	Set     string // "name=value, name=value" for variables, in HCL's syntax
	VarFile string // a file of such assignments, below Set in precedence
	Environ []string
	Reruns  *int // instead of max_reruns
	Jobs    *int // instead of jobs
}

// Pipeline is a checked pipeline.hcl.
type Pipeline struct {
	Path      string // as the user named it
	Dir       string // absolute; relative names in the file start here
	Table     string
	Artefacts string
	MaxReruns int
	Jobs      int      // cores that a batch may use, and molecules that it has under way
	Stages    []*Stage // in the order in which they run
	Programs  map[string]*Program
	Variables []*Variable // in the order of the file
	Columns   []string    // the columns that expressions read, sorted
	Checked   []string    // those of them that decide, by the molecule block and local values, whether a row can be used
	Merged    []string    // the columns that the merge block writes, in its order
	Alarms    Alarms
	// MaxRecompute is the share of the finished results, from 0 to 1, that a batch computes again
	// without being told to.
	MaxRecompute float64
	// SmallestFirst has the smallest molecules computed first, by Molecule.Size; else they are in table order.
	SmallestFirst bool
	Given         map[string]int // the attributes that the pipeline block has, by name, to their line
	// Key changes whenever the text of the file (comments and layout aside), a variable's value, a file that it
	// reads, or a function that it calls changes: the evaluation of any molecule may then differ. While it stays, nothing needs to be evaluated.
	Key string

	env        map[string]string
	conds      []*condition // the molecule block's preconditions
	size       hcl.Expression
	orderRange hcl.Range
	merge      []*hclsyntax.Attribute
	locals     map[string]*local
	localOrder []string // each after those that it uses
	variables  map[string]*Variable
	stages     map[string]*Stage
	columns    map[string]Column
	anyColumn  bool // the table could not be read, so that no column can be called unknown
	functions  map[string]function.Function
	readers    map[string]function.Function // those of the functions whose answers a molecule keeps
	versions   map[string]int               // of the functions that read foreign files
	builtins   []string
	reserved   []string          // columns that are not the merge block's
	files      map[string]string // what file() and source read, path to SHA-256
	sources    map[string][]byte // their content, for source
	reads      []string          // the user's own files that expressions read, in the order of reading; during the check
	checking   bool
	work       int                  // bytes, nearly, that the check handled
	texts      map[string]*hcl.File // by the name that diagnostics have for them
	src        []byte

	vars, static, noStages cty.Value            // var; local, as far as it needs no molecule; stage, before any has run
	mol, local             cty.Value            // during the check, with what a molecule decides unknown
	unknown                map[string]cty.Value // stage, likewise
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
	Program     string            // the first word of its command: a program, a builtin, or "" for a stage of values alone
	Programs    []string          // what it runs, the further ones included; builtins are not among them
	Builtin     bool
	Worker      []string // how its program is started as a worker, nil where each target starts it anew
	Salvage     []string // files of an attempt that ran out of time, or was interrupted, that the next finds in salvage/, and in the list salvaged
	Keep        []string // patterns (path.Match) of files that stay beside the outputs
	Compress    []string // of the outputs and these, the ones that are stored compressed
	Line        int
	Limits      Limits
	Cores       int               // that its program takes
	ExitCodes   map[int]string    // what its program means by them, for the failure's message
	Signals     map[string]string // by name, as "SEGV": what is said of them besides
	NoRetry     []int             // exit codes after which another attempt can only fail the same way
	AtLeast     int               // as many targets must succeed for the failed ones to be left out; 0: every target must

	enabled                hcl.Expression
	command, values, each  hcl.Expression
	cores, worker          hcl.Expression
	warnings               hcl.Expression
	validate               hcl.Expression // no part of what a target does
	timeout, env, programs hcl.Expression
	files                  []*file
	pre, post              []*condition
	valueType              cty.Type // of values: an object type, or dynamic where it is not known before the stage has run
	off                    bool     // for every molecule
	vague                  bool     // its outputs have a mistake, so that no name can be called unknown
	none                   cty.Value
	noneOne                map[string]cty.Value // the attributes of one target without a result
	reads                  []string             // the user's own files that values and postconditions read
	reading                *reading
	body                   *hclsyntax.Body
	rng                    hcl.Range
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
	Pattern    *regexp.Regexp // what of that answer is its version, nil: a whole line
	Version    []string       // arguments that make it print its version; nil: the executable's content is its identity
	Debian     string         // the Debian package that has it
	Conda      string         // the conda-forge package that has it
	Line       int
}

// Variable is a variable block and the value that it has in this run.
type Variable struct {
	Name, Description string
	Value             any
	Source            string // where the value comes from
	value             cty.Value
	want              cty.Type
	weight            int
	bad               bool // what it was given last is no value for it
	checks            []*condition
	rng               hcl.Range
}

type local struct {
	name   string
	attr   *hclsyntax.Attribute
	uses   []string  // other locals
	value  cty.Value // NilVal where it needs a molecule
	weight int
	perMol bool // it needs a molecule, directly or through another local
}

type file struct {
	name            string
	content, source hcl.Expression
	rng             hcl.Range
}

type condition struct {
	condition, message hcl.Expression
	rng                hcl.Range
}

// Task is what a target does: everything that decides its result, evaluated.
type Task struct {
	Argv  []string // with the paths of inputs in the artefacts folder
	Words []string // the same with inputs written as ${stage.output}: independent of where the artefacts lie
	Files []TaskFile
	Env   []string // NAME=value, sorted, as the pipeline sets it
	// HashedWords and HashedEnv are Words and Env as the fingerprint has them: without what
	// ignore_changes leaves out, and with inputs as ${n}, n from 1 in the order of Inputs.
	HashedWords, HashedEnv []string
	Inputs                 []Input // files of other targets, in the order in which Files, Env and Argv name them
	Timeout                time.Duration
	Programs               []string
	environ                []string // Env with the paths of inputs
}

// Same reports whether two tasks run the same command on the same files, in whatever time and whatever ignore_changes leaves out.
func (t *Task) Same(o *Task) bool {
	same := func(a, b TaskFile) bool { return a.Name == b.Name && a.SHA256 == b.SHA256 }
	return slices.Equal(t.HashedWords, o.HashedWords) && slices.Equal(t.HashedEnv, o.HashedEnv) && slices.EqualFunc(t.Files, o.Files, same)
}

// TaskFile is a file that is written into the scratch folder before the program starts.
type TaskFile struct {
	Name    string
	Content []byte
	SHA256  string // of Content with inputs written as ${n}, and without what ignore_changes leaves out
	Keep    bool   // beside the outputs: it is of this target alone, and tells a reader what ran
}

// Input is an output of another target.
type Input struct {
	Name, Path, SHA256 string
	Size               int64 // bytes, unpacked where it is stored compressed
}

// Load reads, checks and orders a pipeline. An error of the file's own making is an *Errors with every mistake in it.
func Load(path string, o Options) (*Pipeline, error) {
	src, err := readBounded(path, maxPipelineSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (run this in the folder of pipeline.hcl, or name another with -pipeline=FILE)", err)
	}
	if err != nil {
		return nil, err
	}
	return loadText(path, src, o)
}

func loadText(path string, src []byte, o Options) (*Pipeline, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{Path: path, Dir: filepath.Dir(abs), src: src, checking: true, builtins: o.Builtins, reserved: o.Reserved,
		Given: map[string]int{}, Programs: map[string]*Program{}, env: map[string]string{}, locals: map[string]*local{}, variables: map[string]*Variable{},
		stages: map[string]*Stage{}, columns: map[string]Column{}, files: map[string]string{}, sources: map[string][]byte{}, versions: map[string]int{},
		unknown: map[string]cty.Value{}, texts: map[string]*hcl.File{}}
	p.functions = p.functionTable(o.Functions)
	p.readers = readers(p.functions, o.Functions)
	diags := p.load(o)
	if diags.HasErrors() {
		return nil, &Errors{path, p.texts, tidy(soften(diags))}
	}
	p.ready()
	p.checking = false
	return p, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: is larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

func (p *Pipeline) load(o Options) hcl.Diagnostics {
	file, diags := p.parse(p.Path, p.src)
	if diags.HasErrors() {
		return diags // what follows from a syntax error is not the user's mistake
	}
	body := file.Body.(*hclsyntax.Body)
	p.instrument(body)
	diags = p.decode(body)
	diags = append(diags, p.setVariables(o)...)
	if len(p.stages) == 0 && !diags.HasErrors() {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Pipeline without stages",
			Detail:  "The file declares no stage, so there is nothing to run. A stage is a block: stage \"name\" { command = [...] }.",
			Subject: &hcl.Range{Filename: p.Path, Start: hcl.InitialPos, End: hcl.InitialPos}})
	}
	if _, given := p.Given["artefacts"]; o.Table != "" && o.Table != p.Table && !given {
		p.Artefacts = strings.TrimSuffix(o.Table, ".csv") + ".artefacts"
	}
	p.Table = cmp.Or(o.Table, p.Table)
	if o.Reruns != nil {
		p.MaxReruns = *o.Reruns
	}
	if o.Jobs != nil {
		p.Jobs = *o.Jobs
	}
	p.anyColumn = true
	if o.Columns != nil && p.Table != "" {
		if columns, err := o.Columns(p.Table); err == nil {
			p.anyColumn = false
			for _, c := range columns {
				p.columns[c.Name] = c
			}
		}
	}
	return append(diags, p.check()...)
}

// Stage returns the stage of that name, nil when there is none.
func (p *Pipeline) Stage(name string) *Stage { return p.stages[name] }

// Instance is the name of a stage's target: "pm7/2" for the second of a for_each, else the stage's own.
func (s *Stage) Instance(i int) string {
	if !s.ForEach {
		return s.Name
	}
	return fmt.Sprintf("%s/%d", s.Name, i+1)
}

// FileNames returns the names under which the target's kept files lie in its folder: outputs and written files.
func (s *Stage) FileNames() []string {
	var names []string
	for _, n := range s.Outputs {
		names = append(names, n)
	}
	for _, f := range s.files {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
