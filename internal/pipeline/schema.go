package pipeline

import (
	"fmt"
	"math/big"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"
)

// What the blocks of pipeline.hcl may have.
var (
	rootSchema = withBlocks(&hcl.BodySchema{}, "pipeline", "locals", "molecule", "merge", "export",
		"variable NAME", "column NAME", "program NAME", "stage NAME", "cluster NAME")
	pipelineSchema = attributes("table", "artefacts", "max_reruns", "jobs", "env", "max_failures",
		"max_invalid", "max_recompute", "when_exceeded", "order", "store")
	clusterSchema  = attributes("cores", "time", "memory", "tasks", "scratch", "options")
	variableSchema = withBlocks(attributes("description", "default", "type", "require"),
		"validation")
	columnSchema    = attributes("type")
	programSchema   = attributes("path", "version", "version_pattern", "debian", "conda")
	moleculeSchema  = withBlocks(attributes("size", "require"), "precondition")
	conditionSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}
	fileSchema  = attributes("content", "source")
	stageSchema = withBlocks(attributes("title", "max_bytes", "max_files", "exit_codes", "salvage",
		"at_least", "optional", "no_retry", "keep", "compress", "enabled", "for_each", "command",
		"timeout", "env", "programs", "cores", "worker", "validate", "outputs", "values",
		"warnings",
		"require"), "file NAME", "precondition", "postcondition")
)

func attributes(names ...string) *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, name := range names {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: name})
	}
	return s
}

func withBlocks(s *hcl.BodySchema, types ...string) *hcl.BodySchema {
	for _, t := range types {
		name, label, _ := strings.Cut(t, " ")
		block := hcl.BlockHeaderSchema{Type: name}
		if label != "" {
			block.LabelNames = []string{"name"}
		}
		s.Blocks = append(s.Blocks, block)
	}
	return s
}

// constant reads an attribute that may name nothing; form says what it must be. valid is nil where
// every value of the type will do.
func constant[T any](a *hcl.Attribute, into *T, form string, valid func(T) bool) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	if v, diags := a.Expr.Value(nil); diags.HasErrors() {
		return diags
	} else if v.IsNull() {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Invalid "+a.Name, form)}
	}
	var v T
	if gohcl.DecodeExpression(a.Expr, nil, &v).HasErrors() || valid != nil && !valid(v) {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Invalid "+a.Name, form)}
	}
	*into = v
	return nil
}

func within[N int | int64](least, most N) func(N) bool {
	return func(n N) bool { return n >= least && n <= most }
}

func allValid[T any](valid func(T) bool) func([]T) bool {
	return func(list []T) bool {
		return !slices.ContainsFunc(list, func(e T) bool { return !valid(e) })
	}
}

func (p *Pipeline) decode(body *hclsyntax.Body) hcl.Diagnostics {
	p.Table, p.Artefacts = p.rooted("data/thermo_pm7.csv"), p.rooted("artefacts")
	p.MaxReruns, p.Jobs, p.MaxRecompute = 3, 1, 0.5
	content, diags := body.Content(rootSchema)
	if n := len(content.Blocks); n > maxBlocks {
		return append(diags, wrongf(content.Blocks[maxBlocks].DefRange, "Too many blocks",
			"The file has %d blocks; %d are the most.", n, maxBlocks))
	}
	decoders := map[string]func(*hcl.Block) hcl.Diagnostics{
		"pipeline": p.decodePipeline, "locals": p.decodeLocals, "molecule": p.decodeMolecule,
		"merge": p.decodeMerge, "export": p.decodeExport, "variable": p.decodeVariable,
		"column": p.decodeColumn, "program": p.decodeProgram, "stage": p.decodeStage,
		"cluster": p.decodeCluster}
	for _, b := range content.Blocks {
		if d := p.claim(b); d != nil {
			diags = append(diags, d)
		} else {
			diags = append(diags, decoders[b.Type](b)...)
		}
	}
	return diags
}

// claim says what is wrong with a block's name, or with a second block of that name.
func (p *Pipeline) claim(b *hcl.Block) *hcl.Diagnostic {
	key := b.Type
	if len(b.Labels) > 0 {
		if key += " " + b.Labels[0]; !hclsyntax.ValidIdentifier(b.Labels[0]) && b.Type != "column" {
			return wrongf(b.LabelRanges[0], "Invalid name",
				"%q can't be the name of a %s: a name has letters, "+
					"digits, _ and -, and begins with a letter.", b.Labels[0], b.Type)
		}
	}
	folder := key
	if b.Type == "stage" {
		folder = strings.ToLower(key) // their folders would be one on many disks
	}
	if old := p.claimed[folder]; old > 0 && b.Type != "locals" && b.Type != "merge" {
		return wrongf(b.DefRange, "Duplicate block",
			"The block %s stands already at line %d, in whatever letter "+
				"case. Give one of the two another name.", key, old)
	}
	p.claimed[folder] = b.DefRange.Start.Line
	return nil
}

// TablePath is where the table is that a text names: an absolute path, or the URL of a server. A
// file that starts with sqlite: is named without that.
func TablePath(dir, table string) string {
	if strings.Contains(table, "://") {
		return table
	}
	p := &Pipeline{Dir: dir}
	return p.rooted(strings.TrimPrefix(table, "sqlite:"))
}

func (p *Pipeline) rooted(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(p.Dir, name)
}

func (p *Pipeline) decodePipeline(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(pipelineSchema)
	a := content.Attributes
	for name := range a {
		p.Given[name] = a[name].NameRange.Start.Line
	}
	order, exceeded := "table", "warn"
	one := func(of ...string) func(string) bool {
		return func(word string) bool { return slices.Contains(of, word) }
	}
	diags = slices.Concat(diags,
		constant(a["table"], &p.Table, "table is the name of a file.", nil),
		constant(a["artefacts"], &p.Artefacts, "artefacts is the name of a folder.", nil),
		constant(a["max_reruns"], &p.MaxReruns, "max_reruns is how often a failed molecule is "+
			"tried again: "+
			"a whole number from 0 to 1000.", within(0, 1000)),
		constant(a["jobs"], &p.Jobs, "jobs is how many processor cores a batch may use: "+
			"a whole number from 1 to 4096.", within(1, 4096)),
		constant(a["env"], &p.Env, "env is an object of names and texts, like { LANG = \"C\" }.",
			func(env map[string]string) bool {
				return !slices.ContainsFunc(names(env), func(name string) bool {
					return !variableName(name) || strings.Contains(env[name], "\x00")
				})
			}),
		percentage(a["max_failures"], &p.Alarms.Failures),
		percentage(a["max_invalid"], &p.Alarms.Invalid),
		percentage(a["max_recompute"], &p.MaxRecompute),
		constant(a["when_exceeded"], &exceeded, `when_exceeded must be "warn" or "stop".`,
			one("warn", "stop")),
		constant(a["order"], &order, `order must be "table" or "smallest_first".`, one("table",
			"smallest_first")),
		constant(a["store"], &p.Store, `store must be "zip", which keeps a finished molecule as one file, `+
			`or "folder".`, one("zip", "folder")))
	p.SmallestFirst, p.Alarms.Stop = order == "smallest_first", exceeded == "stop"
	p.Table, p.Artefacts = TablePath(p.Dir, p.Table), p.rooted(p.Artefacts)
	return diags
}

func percentage(a *hcl.Attribute, into *float64) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	share, text := 0.0, ""
	valid := func(text string) bool {
		digits, ok := strings.CutSuffix(text, "%")
		n, err := strconv.ParseFloat(digits, 64)
		share = n / 100
		return ok && err == nil && n > 0 && n <= 100
	}
	diags := constant(a, &text,
		a.Name+` must be a percentage such as "5%", above 0% and at most 100%.`, valid)
	if !diags.HasErrors() {
		*into = share
	}
	return diags
}

func (p *Pipeline) decodeColumn(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(columnSchema)
	word, name := "", b.Labels[0]
	if a := content.Attributes["type"]; a != nil {
		word = hcl.ExprAsKeyword(a.Expr)
	}
	if word != "number" && word != "string" {
		return append(diags, wrongf(b.DefRange, "Invalid type",
			"The cells of the column %q are of type = number or type = string.", name))
	}
	p.columns[name] = column{word == "number", true}
	p.declared = append(p.declared, b)
	return diags
}

func (p *Pipeline) decodeLocals(b *hcl.Block) hcl.Diagnostics {
	attrs, diags := b.Body.JustAttributes()
	for _, a := range inOrder(attrs) {
		if old := p.locals[a.Name]; old != nil {
			diags = append(diags, wrongf(a.NameRange, "Duplicate local value",
				"local.%s is set already at line %d.", a.Name, old.at.Start.Line))
			continue
		}
		p.locals[a.Name] = newExpression(a, "a local value", ofMerge)
	}
	return diags
}

func (p *Pipeline) decodeMolecule(b *hcl.Block) hcl.Diagnostics {
	const what = "the molecule block"
	content, diags := b.Body.Content(moleculeSchema)
	var more hcl.Diagnostics
	p.molecule, more = conditions(content, "precondition", what, ofMolecule)
	if a := content.Attributes["size"]; a != nil {
		p.size = newExpression(a, what, ofMolecule)
	}
	return append(diags, more...)
}

func (p *Pipeline) decodeExport(b *hcl.Block) hcl.Diagnostics {
	attrs, diags := b.Body.JustAttributes()
	for _, a := range inOrder(attrs) {
		p.export = append(p.export, newExpression(a, "the export block", ofMerge))
	}
	return diags
}

func (p *Pipeline) decodeMerge(b *hcl.Block) hcl.Diagnostics {
	attrs, diags := b.Body.JustAttributes()
	for _, a := range inOrder(attrs) {
		switch {
		case slices.Contains(p.reserved, a.Name):
			diags = append(diags, wrongf(a.NameRange, "Column is not the merge's",
				"The column %q belongs to the molecule or to the batch itself.", a.Name))
		case slices.Contains(p.Merged, a.Name):
			diags = append(diags, wrongf(a.NameRange, "Duplicate column",
				"The column %q is merged already.", a.Name))
		default:
			p.merge = append(p.merge, newExpression(a, "the merge block", ofMerge))
			p.Merged = append(p.Merged, a.Name)
		}
	}
	return diags
}

func (p *Pipeline) decodeProgram(b *hcl.Block) hcl.Diagnostics {
	name := b.Labels[0]
	content, diags := b.Body.Content(programSchema)
	a := content.Attributes
	prog := &Program{Name: name, Candidates: []string{name}, Debian: name, Conda: name,
		Line: b.DefRange.Start.Line}
	p.Programs[name] = prog
	var version []string
	var pattern string
	list := func(words []string) bool { return len(words) > 0 && !slices.Contains(words, "") }
	path := constant(a["path"], &prog.Candidates,
		`path is a list of names or paths, like ["python3"].`, list)
	if word := ""; path.HasErrors() && constant(a["path"], &word, "", nil) == nil {
		path, prog.Candidates = nil, []string{word}
	}
	diags = slices.Concat(diags, path,
		constant(a["version"], &version, fmt.Sprintf("version is a command that starts with the "+
			"program itself, "+
			"like [%q, \"--version\"].", name), func(words []string) bool {
			return list(words) && words[0] == name
		}),
		constant(a["version_pattern"], &pattern, "version_pattern is a regular expression, like "+
			"\"xtb version [0-9.]+\". "+
			"What it matches in the answer to the version command, or its first group, is the "+
			"program's version.",
			func(text string) bool {
				re, err := regexp.Compile(text)
				prog.Pattern = re
				return err == nil && text != ""
			}),
		constant(a["debian"], &prog.Debian, "debian is the name of a package.", nil),
		constant(a["conda"], &prog.Conda, "conda is the name of a package.", nil))
	if version != nil {
		prog.Version = version[1:]
	} else if pattern := a["version_pattern"]; pattern != nil && a["version"] == nil {
		diags = append(diags, wrongf(pattern.NameRange, "Pattern without a version",
			"version_pattern is for the answer to a version command: version = [%q, \"--version\"].", name))
	}
	return diags
}

func (p *Pipeline) decodeStage(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(stageSchema)
	a, name := content.Attributes, b.Labels[0]
	s := &Stage{Name: name, Title: name, Titled: a["title"] != nil, Line: b.DefRange.Start.Line,
		rng: b.DefRange, ForEach: a["for_each"] != nil, Outputs: map[string]string{}, Cores: 1,
		valueType: cty.EmptyObject, Limits: Limits{Bytes: 2 << 30, Files: 10_000}}
	p.stages[s.Name] = s
	p.Stages = append(p.Stages, s)
	diags = slices.Concat(diags, s.decodeFiles(content.Blocks.OfType("file")),
		constant(a["title"], &s.Title, "title is a text.", nil),
		constant(a["max_bytes"], &s.Limits.Bytes, "max_bytes is a whole number, 1 or more.",
			within[int64](1, 1<<62)),
		constant(a["max_files"], &s.Limits.Files, "max_files is a whole number, 1 or more.",
			within(1, 1<<31)),
		constant(a["optional"], &s.Optional, "optional is true or false.", nil),
		constant(a["at_least"], &s.AtLeast, fmt.Sprintf("at_least is how many targets of a "+
			"for_each must succeed: "+
			"a whole number from 1 to %d.", maxTargets), within(1, maxTargets)),
		constant(a["no_retry"], &s.NoRetry, "no_retry is a list of the command's exit codes, from "+
			"1 to 255, like [3].",
			func(codes []int) bool {
				return a["command"] != nil && allValid(within(1, 255))(codes)
			}),
		s.decodeExitCodes(a["exit_codes"]),
		constant(a["salvage"], &s.Salvage, "salvage is a list of plain names of files in the "+
			"stage's own folder.",
			allValid(func(name string) bool {
				return scratchName(name) == "" && !strings.Contains(name, "/")
			})),
		patterns(a["keep"], &s.Keep), patterns(a["compress"], &s.Compress))
	if a["at_least"] != nil && (!s.ForEach || s.Optional) {
		diags = append(diags, wrongf(a["at_least"].Expr.Range(), "Unsuitable at_least",
			"Stage %q has no for_each, so it has one target, which must succeed; or it is optional.", s.Name))
	}
	if a["compress"] != nil {
		s.compressed = a["compress"].Expr.Range()
	}
	// what the program said, and the files that are written for this target alone
	if a["keep"] == nil {
		s.Keep = []string{"stdout", "stderr"}
		for _, f := range s.files {
			if f.content != nil {
				s.Keep = append(s.Keep, f.name)
			}
		}
	}
	if a["command"] == nil && (len(s.files) > 0 || a["outputs"] != nil || a["values"] == nil) {
		diags = append(diags, wrongf(b.DefRange, "Stage without a command",
			"Stage %q makes files, so it "+
				"needs a command = [\"program\", ...]; or, to compute from other stages alone, "+
				"only "+
				"values.", s.Name))
	}
	return append(diags, s.declare(content)...)
}

// patterns are names of files in the stage's own folder, with * and ? for others' letters.
func patterns(a *hcl.Attribute, into *[]string) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	form := a.Name + " is a list of names of files in the stage's own folder: * stands for any " +
		"letters, ? for one, [abc] for one of these."
	return constant(a, into, form, allValid(func(name string) bool {
		_, err := path.Match(name, "")
		return err == nil && scratchName(name) == ""
	}))
}

// decodeExitCodes reads what a program means by its exit codes and signals.
func (s *Stage) decodeExitCodes(a *hcl.Attribute) hcl.Diagnostics {
	s.ExitCodes, s.Signals = map[int]string{}, map[string]string{}
	var words map[string]string
	form := "exit_codes are exit codes from 1 to 255, or signals, and what each means, as { \"1\" " +
		"= \"...\", SEGV = \"...\" }."
	return constant(a, &words, form, func(words map[string]string) bool {
		for key, text := range words {
			code, err := strconv.Atoi(key)
			switch {
			case text == "":
				return false
			case unix.SignalNum("SIG"+key) != 0:
				s.Signals[key] = text
			case err == nil && code >= 1 && code <= 255:
				s.ExitCodes[code] = text
			default:
				return false
			}
		}
		return true
	})
}

func (s *Stage) decodeFiles(blocks hcl.Blocks) (diags hcl.Diagnostics) {
	for _, b := range blocks {
		attrs, d := b.Body.Content(fileSchema)
		content, source, name := attrs.Attributes["content"], attrs.Attributes["source"],
			b.Labels[0]
		why := scratchName(name)
		diags = append(diags, d...)
		switch {
		case why != "":
			diags = append(diags, wrong(b.LabelRanges[0], "Path outside of the scratch folder",
				why))
		case (content == nil) == (source == nil):
			diags = append(diags, wrongf(b.DefRange, "File without content",
				"The file %q needs either "+
					"content = \"...\" or source = \"a file beside pipeline.hcl\".", name))
		case slices.ContainsFunc(s.files, func(o *file) bool { return o.name == name }):
			diags = append(diags, wrongf(b.LabelRanges[0], "Duplicate block",
				"The file %q is written twice in this stage.", name))
		default:
			f := &file{name: name}
			if content != nil {
				f.content = newExpression(content, "content", ofTask)
			} else {
				f.source = newExpression(source, "source", ofStage)
			}
			s.files = append(s.files, f)
		}
	}
	return diags
}

// scratchName says what is wrong with the name of a file in a target's scratch folder, "" for
// nothing.
func scratchName(name string) string {
	clean := filepath.ToSlash(filepath.Clean(name))
	switch {
	case name == "" || strings.ContainsAny(name, "\x00\n\\"):
		return fmt.Sprintf("%q is not a file name.", name)
	case filepath.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || clean == ".":
		return fmt.Sprintf("%q leaves the stage's own folder. Name a file inside of it.", name)
	case clean != name:
		return fmt.Sprintf("Write %q as %q.", name, clean)
	}
	return ""
}

func variableName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

// inOrder returns attributes as they stand in the file.
func inOrder(attrs hcl.Attributes) []*hcl.Attribute {
	out := make([]*hcl.Attribute, 0, len(attrs))
	for _, name := range names(attrs) {
		out = append(out, attrs[name])
	}
	slices.SortStableFunc(out,
		func(a, b *hcl.Attribute) int { return a.Range.Start.Byte - b.Range.Start.Byte })
	return out
}

// whole reports whether a finite number is a whole one below 1e21: all of its digits are written.
func whole(v cty.Value) bool {
	f := new(big.Float).Abs(v.AsBigFloat())
	return f.IsInt() && f.Sign() > 0 && f.Cmp(big.NewFloat(1e21)) < 0
}
