package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Cluster is a cluster block: what a batch asks a scheduler for. It enters no fingerprint.
type Cluster struct {
	Scheduler string        // "slurm"
	Cores     int           // of one node, for each task
	Time      time.Duration // wall time of a task
	Memory    string        // of a task, as the scheduler reads it
	Tasks     int           // at most so many run at once
	Scratch   string        // a folder of the node's own, with $NAME of its environment; "": none
	Options   []string      // further words for the scheduler
}

var (
	memoryForm = regexp.MustCompile(`^[1-9][0-9]*[KMGT]$`)
	optionForm = regexp.MustCompile(`^--[a-z][a-z-]*(=[^\x00-\x1f]*)?$`)
	optionsSet = regexp.MustCompile("^--(array|job-name|output|open-mode|nodes|ntasks|" +
		"cpus-per-task|time|wait|wrap|test-only|parsable)(=|$)")
)

func (p *Pipeline) decodeCluster(b *hcl.Block) {
	c := &Cluster{Scheduler: b.Labels[0], Cores: 1, Time: 2 * time.Hour, Tasks: 100}
	p.Cluster, p.clusterAt = c, b.DefRange
	if body, ok := b.Body.(*hclsyntax.Body); ok {
		p.clusterAt = hcl.RangeBetween(b.DefRange, body.SrcRange)
	}
	p.readBody(b.Body,
		whole("cores", &c.Cores, "how many processor cores of one node a task takes", 1, 4096),
		whole("tasks", &c.Tasks, "how many tasks run at once at most", 1, 1000),
		constant("time", nil, `time is the wall time of a task, from "2m" to "720h", like "2h".`,
			func(text string) (ok bool) {
				d, err := time.ParseDuration(text)
				c.Time = d
				return err == nil && d >= 2*time.Minute && d <= 720*time.Hour
			}),
		constant("memory", &c.Memory, `memory is that of a task, with a unit, like "32G".`,
			memoryForm.MatchString),
		constant("options", &c.Options, `options are words for sbatch, each with its value, like `+
			`["--partition=main", "--account=chem"]. What the batch itself sets, as --time, can't `+
			`be one of them.`, each(func(word string) bool {
			return optionForm.MatchString(word) && !optionsSet.MatchString(word)
		})),
		nodePath("scratch", &c.Scratch))
	if c.Scheduler != "slurm" {
		p.wrong(b.LabelRanges[0], "Unknown scheduler", "A batch can ask slurm. docs/cluster.md "+
			"has examples for other schedulers.")
	}
}

// nodePath is a path that a node looks up in its environment: env("TMPDIR") stands for $TMPDIR.
func nodePath(name string, into *string) item {
	env := adapt(func(name string) string { return "${" + name + "}" }, "name")
	context := &hcl.EvalContext{Functions: map[string]function.Function{"env": env}}
	return item{name: name, attr: func(a *hcl.Attribute) error {
		if gohcl.DecodeExpression(a.Expr, context, into).HasErrors() ||
			!strings.HasPrefix(*into, "/") && !strings.HasPrefix(*into, "$") {
			return errors.New(name + ` is a folder of the node's own: env("TMPDIR"), or a path ` +
				"that begins with /")
		}
		return nil
	}}
}

// NodeScratch is the scratch folder on this node, "" for none.
func (c Cluster) NodeScratch() string { return os.ExpandEnv(c.Scratch) }

// Snapshot is a checked pipeline as plain data, which another host loads as it is now, whatever
// becomes of its files and of the table.
type Snapshot struct {
	Path, Table, Artefacts string
	Text, Set              string // of the file; the variables, as for -set
	Sources                map[string][]byte
	Columns                []Column
	MaxReruns              int
	Key                    string // that of the pipeline
}

// Snapshot is the pipeline as plain data.
func (p *Pipeline) Snapshot() Snapshot {
	s := Snapshot{Path: p.Dir + "/pipeline.hcl", Table: p.Table, Artefacts: p.Artefacts,
		Text: string(p.src), Sources: maps.Clone(p.sources), MaxReruns: p.MaxReruns, Key: p.Key}
	var set []string
	for _, v := range p.Variables {
		text := strings.TrimSpace(string(hclwrite.TokensForValue(v.value).Bytes()))
		set = append(set, v.Name+" = "+text)
	}
	s.Set = strings.Join(set, ", ")
	for _, name := range names(p.columns) {
		s.Columns = append(s.Columns, Column{name, p.columnType(name) == cty.Number})
	}
	return s
}

// Load loads the pipeline of a snapshot; o has the functions and the built-ins. Another Key is an
// error: a file that a command names was changed, or this program is another version.
func (s Snapshot) Load(o Options) (*Pipeline, error) {
	o.Table, o.Set, o.VarFile, o.Environ, o.Reruns = s.Table, s.Set, "", nil, &s.MaxReruns
	o.Columns = func(string) ([]Column, error) { return s.Columns, nil }
	o.sources = s.Sources
	p, err := loadText(s.Path, []byte(s.Text), o)
	if err != nil {
		return nil, err
	}
	if p.Artefacts = s.Artefacts; p.Key != s.Key {
		return nil, fmt.Errorf("%s: a file that a command names was changed since the batch "+
			"began", s.Path)
	}
	return p, nil
}
