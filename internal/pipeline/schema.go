package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"
)

func (p *Pipeline) decode(body *hclsyntax.Body) {
	p.Table, p.Artefacts = p.rooted("data/thermo_pm7.csv"), p.rooted("artefacts")
	p.MaxReruns, p.Jobs, p.MaxRecompute = 3, 1, 0.5
	lines := map[string]int{} // of the blocks that have been read, by what no other may be called
	block := func(name string, label bool, decode func(*hcl.Block)) item {
		return item{name: name, label: label, block: func(b *hcl.Block) {
			if p.claim(lines, b) {
				decode(b)
			}
		}}
	}
	p.readBody(body, block("pipeline", false, p.decodePipeline),
		block("variable", true, p.decodeVariable), block("column", true, p.decodeColumn),
		block("program", true, p.decodeProgram), block("cluster", true, p.decodeCluster),
		block("molecule", false, p.decodeMolecule), block("stage", true, p.decodeStage),
		block("locals", false, p.decodeLocals), block("merge", false, p.decodeMerge),
		block("export", false, p.decodeExport), block("display", false, p.decodeDisplay))
}

// claim refuses a name that no block can have, or that another has.
func (p *Pipeline) claim(lines map[string]int, b *hcl.Block) bool {
	key := strings.Join(append([]string{b.Type}, b.Labels...), " ")
	if len(b.Labels) > 0 && b.Type != "column" &&
		(!hclsyntax.ValidIdentifier(b.Labels[0]) || len(b.Labels[0]) > 100) {
		return p.wrong(b.LabelRanges[0], "Invalid name", "%.40q can't be the name of a %s: a name "+
			"has up to 100 letters, digits, _ and -, and begins with a letter.", b.Labels[0],
			b.Type)
	}
	folder := key
	if b.Type == "stage" {
		folder = strings.ToLower(key) // their folders would be one on many disks
	}
	several := slices.Contains([]string{"locals", "merge", "display"}, b.Type)
	if old := lines[folder]; old > 0 && !several {
		way := "in whatever letter case. Give one of the two another name"
		if len(b.Labels) == 0 {
			way = "and there can be one only. Make one of the two"
		}
		return p.wrong(b.DefRange, "Duplicate block", "The block %s stands already at line %d, %s.",
			key, old, way)
	}
	lines[folder] = b.DefRange.Start.Line
	return true
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

func (p *Pipeline) decodePipeline(b *hcl.Block) {
	order, exceeded := "table", "warn"
	attrs := p.readBody(b.Body,
		constant("table", &p.Table, "table is the name of a file.", nil),
		constant("artefacts", &p.Artefacts, "artefacts is the name of a folder without "+
			"pipeline.hcl in it.", func(name string) bool {
			from, err := filepath.Rel(p.rooted(name), p.Dir)
			return err == nil && strings.HasPrefix(from, "..")
		}),
		whole("max_reruns", &p.MaxReruns, "how often a molecule may fail before it is skipped", 0,
			1000),
		whole("jobs", &p.Jobs, "how many processor cores a batch may use", 1, 4096),
		constant("env", &p.Env, `env is an object of names and texts, like { LANG = "C" }.`,
			func(env map[string]string) bool {
				return each(func(name string) bool {
					return variableName(name) && !strings.Contains(env[name], "\x00")
				})(names(env))
			}),
		percentage("max_failures", &p.Alarms.Failures),
		percentage("max_invalid", &p.Alarms.Invalid),
		percentage("max_recompute", &p.MaxRecompute),
		oneWord("when_exceeded", &exceeded, "warn", "stop"),
		oneWord("order", &order, "table", "smallest_first"),
		oneWord("store", &p.Store, "zip", "folder"))
	for name, a := range attrs {
		p.Given[name] = a.NameRange.Start.Line
	}
	p.SmallestFirst, p.Alarms.Stop = order == "smallest_first", exceeded == "stop"
	p.Table, p.Artefacts = TablePath(p.Dir, p.Table), p.rooted(p.Artefacts)
}

func (p *Pipeline) decodeColumn(b *hcl.Block) {
	word, name, before := "", b.Labels[0], len(p.mistakes)
	p.readBody(b.Body, item{name: "type", attr: func(a *hcl.Attribute) error {
		word = hcl.ExprAsKeyword(a.Expr)
		return nil
	}})
	typ, ok := map[string]cty.Type{"number": cty.Number, "string": cty.String}[word]
	if !ok {
		typ = cty.DynamicPseudoType
	}
	if !ok && len(p.mistakes) == before {
		p.wrong(b.DefRange, "Invalid type",
			"The cells of the column %q are of type = number or type = string.", name)
	}
	p.columns[name] = column{typ, true}
	p.declared = append(p.declared, b)
}

func (p *Pipeline) decodeLocals(b *hcl.Block) {
	in := scope{what: "a local value: write it in the stage's own attribute", roots: ofMerge}
	p.anyNames(b.Body, func(a *hcl.Attribute) {
		if old := p.locals[a.Name]; old != nil {
			p.wrong(a.NameRange, "Duplicate local value", "local.%s is set already at line %d.",
				a.Name, old.at.Start.Line)
			return
		}
		p.locals[a.Name] = in.expression(a, cty.DynamicPseudoType)
	})
}

func (p *Pipeline) decodeMolecule(b *hcl.Block) {
	of := scope{what: "the molecule block", roots: ofMolecule, into: &p.ofMolecule}
	p.readBody(b.Body, p.conditions(of, "precondition", &p.molecule), of.requirement(&p.molecule),
		of.attr("size", &p.size, cty.DynamicPseudoType, acceptSize))
}

func (p *Pipeline) decodeDisplay(b *hcl.Block) {
	in := scope{what: "the display block", roots: ofMerge, into: &p.display}
	p.anyNames(b.Body, func(a *hcl.Attribute) { in.expression(a, cty.DynamicPseudoType) })
}

func (p *Pipeline) decodeExport(b *hcl.Block) {
	in := scope{what: "the export block", roots: ofMerge, into: &p.export}
	p.anyNames(b.Body, func(a *hcl.Attribute) {
		if p.exports.HasAttribute(a.Name) {
			in.expression(a, p.exports.AttributeType(a.Name))
			p.attributes(a.Expr, p.exports.AttributeType(a.Name))
			return
		}
		p.wrong(a.NameRange, "Unknown attribute", "Nothing called %q is exported.%s", a.Name,
			didYouMean(a.Name, names(p.exports.AttributeTypes())))
	})
}

func (p *Pipeline) decodeMerge(b *hcl.Block) {
	in := scope{what: "the merge block", roots: ofMerge, into: &p.merge}
	p.anyNames(b.Body, func(a *hcl.Attribute) {
		same := func(name string) bool { return strings.EqualFold(name, a.Name) }
		switch {
		case slices.ContainsFunc(p.inputs, same) || slices.ContainsFunc(p.written, same):
			p.wrong(a.NameRange, "Reserved column",
				"The column %q belongs to the molecule or to the batch itself.", a.Name)
		case slices.ContainsFunc(p.Merged, same):
			p.wrong(a.NameRange, "Duplicate column", "The column %q is merged already.", a.Name)
		default:
			p.Merged = append(p.Merged, a.Name)
			in.expression(a, cty.DynamicPseudoType)
		}
	})
}

func (p *Pipeline) decodeProgram(b *hcl.Block) {
	name := b.Labels[0]
	prog := &Program{Name: name, Candidates: []string{name}, Debian: name, Conda: name,
		Line: b.DefRange.Start.Line}
	p.Programs[name] = prog
	var version []string
	words := func(words []string) bool { return len(words) > 0 && !slices.Contains(words, "") }
	isRelative := func(word string) bool {
		return strings.Contains(word, "/") && !filepath.IsAbs(word)
	}
	attrs := p.readBody(b.Body,
		constant("path", nil, `path is a list of names or absolute paths, like ["python3"].`,
			func(v cty.Value) bool {
				if word, one := as[string](v); one {
					prog.Candidates = []string{word}
				} else {
					prog.Candidates, _ = as[[]string](v)
				}
				return words(prog.Candidates) && !slices.ContainsFunc(prog.Candidates, isRelative)
			}),
		constant("version", &version, fmt.Sprintf("version is a command that starts with the "+
			"program itself, like [%q, \"--version\"].", name),
			func(list []string) bool { return words(list) && list[0] == name }),
		constant("version_pattern", nil, "version_pattern is a regular expression, like \"xtb "+
			"version [0-9.]+\": what of the answer to the version command, or in its first "+
			"group, is the version.", func(text string) bool {
			re, err := regexp.Compile(text)
			prog.Pattern = re
			return err == nil && text != ""
		}),
		text("debian", &prog.Debian), text("conda", &prog.Conda))
	if version != nil {
		prog.Version = version[1:]
	} else if a := attrs["version_pattern"]; a != nil && attrs["version"] == nil {
		p.wrong(a.NameRange, "Pattern without a version", "version_pattern is for the answer to "+
			"a version command: version = [%q, \"--version\"].", name)
	}
}

func (p *Pipeline) decodeStage(b *hcl.Block) {
	s := &Stage{Name: b.Labels[0], Title: b.Labels[0], Line: b.DefRange.Start.Line, rng: b.DefRange,
		Outputs: map[string]string{}, Cores: 1, valueType: cty.EmptyObject,
		Limits: Limits{Bytes: 2 << 30, Files: 10_000}}
	p.stages[s.Name] = s
	p.Stages = append(p.Stages, s)
	before := len(p.mistakes)
	p.extend(b)
	a := p.readBody(b.Body, slices.Concat(p.declarations(s), s.settings())...)
	s.Titled, s.ForEach = a["title"] != nil, a["for_each"] != nil
	switch least := a["at_least"]; {
	case least == nil:
	case !s.ForEach && before < len(p.mistakes): // for_each may be misspelt
	case !s.ForEach:
		p.wrong(least.Expr.Range(), "Unsuitable at_least", "Stage %q has no for_each, so it has "+
			"one target, which must succeed.", s.Name)
	case s.Optional:
		p.wrong(least.Expr.Range(), "Unsuitable at_least", "Stage %q is optional, so that any "+
			"target may fail. Leave out one of the two.", s.Name)
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
	if s.values != nil {
		s.valueType = cty.DynamicPseudoType // until it is checked
	}
	if s.command == nil && (len(s.files) > 0 || s.outputs != nil || s.values == nil) &&
		before == len(p.mistakes) {
		p.wrong(b.DefRange, "Stage without a command", "Stage %q makes files, so it needs a "+
			"command = [\"program\", ...]; or, to compute from other stages, only values.", s.Name)
	}
}

// settings are the attributes of a stage that are the same for every molecule.
func (s *Stage) settings() []item {
	s.ExitCodes, s.Signals = map[int]string{}, map[string]string{}
	return []item{
		text("title", &s.Title),
		constant[string]("extends", nil, "extends is the name of a stage.", nil),
		constant("max_bytes", &s.Limits.Bytes, "max_bytes is a whole number, 1 or more.",
			within[int64](1, 1<<62)),
		constant("max_files", &s.Limits.Files, "max_files is a whole number, 1 or more.",
			within(1, 1<<31)),
		constant("optional", &s.Optional, "optional is true or false.", nil),
		whole("at_least", &s.AtLeast, "how many targets of a for_each must succeed", 1, maxTargets),
		constant("no_retry", &s.NoRetry, "no_retry is a list of the command's exit codes, from 1 "+
			"to 255, like [3].", func(codes []int) bool {
			return s.command != nil && each(within(1, 255))(codes)
		}),
		constant("exit_codes", nil, "exit_codes are exit codes from 1 to 255, or signals, and "+
			"what each means, as { \"1\" = \"...\", SEGV = \"...\" }.", s.setExitCodes),
		constant("salvage", &s.Salvage, "salvage is a list of plain names of files in the "+
			"stage's own folder.", each(func(name string) bool {
			return scratchName(name) == "" && !strings.ContainsAny(name, "/*?[")
		})),
		patterns("keep", &s.Keep), patterns("compress", &s.Compress),
	}
}

func (s *Stage) setExitCodes(words map[string]string) bool {
	for key, text := range words {
		code, err := strconv.Atoi(key)
		switch {
		case text == "":
			return false
		case unix.SignalNum("SIG"+key) != 0:
			s.Signals[key] = text
		case err == nil && within(1, 255)(code):
			s.ExitCodes[code] = text
		default:
			return false
		}
	}
	return true
}

// declarations are the attributes and blocks of a stage that are evaluated for each molecule, in
// the order in which they are checked.
func (p *Pipeline) declarations(s *Stage) []item {
	in := func(r roots, what string) scope { return scope{s, r, what, &s.expressions} }
	late := in(ofReading, "values and postconditions, which are read again long after the attempt")
	words, dynamic := cty.List(cty.String), cty.DynamicPseudoType
	return []item{
		in(varRoot|localRoot, "").attr("outputs", &s.outputs, dynamic, func(v cty.Value) error {
			return p.setOutputs(s, v)
		}),
		in(ofStage, "").attr("enabled", &s.enabled, cty.Bool, nil),
		in(ofStage, "").attr("for_each", &s.each, dynamic, only(elements)),
		in(ofTarget, "").attr("timeout", &s.timeout, dynamic, only(duration)),
		in(ofStage, "").attr("cores", &s.cores, dynamic, known("cores is how many processor "+
			"cores the program takes: a whole number that doesn't depend on the molecule",
			func(n int) bool { s.Cores = n; return within(1, 4096)(n) })),
		in(ofTask, "").attr("env", &s.env, dynamic, only(environment)),
		{name: "file", label: true, block: func(b *hcl.Block) { p.decodeFile(s, b) }},
		p.conditions(in(ofTarget, "stage "+s.Name), "precondition", &s.pre),
		in(ofTask, "").attr("command", &s.command, words, func(v cty.Value) error {
			return p.setProgram(s, v)
		}),
		in(ofStage, "").attr("programs", &s.programs, words, known("programs must be a list of "+
			"texts that doesn't depend on the molecule", s.addPrograms)),
		in(ofStage, "").attr("worker", &s.worker, words, known("worker is how the command's "+
			"program is started to stay: a list like [\"python3\", \"script\", \"--serve\"] that "+
			"doesn't depend on the molecule", func(words []string) bool {
			s.Worker = words
			return len(words) > 0 && (s.Program == "" || words[0] == s.Program) && !s.Builtin
		})),
		in(ofMolecule, "").attr("validate", &s.validate, words, s.acceptValidate),
		late.attr("values", &s.values, dynamic, func(v cty.Value) error {
			return p.setValueType(s, v)
		}),
		late.attr("warnings", &s.warnings, dynamic, acceptWarnings),
		p.conditions(late, "postcondition", &s.post), late.requirement(&s.post),
	}
}

func (p *Pipeline) decodeFile(s *Stage, b *hcl.Block) {
	f, why, before := &file{name: b.Labels[0]}, scratchName(b.Labels[0]), len(p.mistakes)
	in := func(r roots) scope { return scope{s, r, "", &s.expressions} }
	p.readBody(b.Body, in(ofTask).attr("content", &f.content, cty.String, nil),
		in(ofMolecule).attr("source", &f.source, cty.String, p.setSource))
	switch {
	case why != "":
		p.wrong(b.LabelRanges[0], "Path outside of the scratch folder", "%s", why)
	case (f.content == nil) == (f.source == nil) && before == len(p.mistakes):
		p.wrong(b.DefRange, "File without content", "The file %q needs either content = \"...\" "+
			"or source = \"a file beside pipeline.hcl\".", f.name)
	case slices.ContainsFunc(s.files, f.clashes):
		p.wrong(b.LabelRanges[0], "Duplicate block", "The file %q is written twice in this stage, "+
			"or is the folder of another.", f.name)
	default:
		s.files = append(s.files, f)
	}
}

// clashes reports whether a file is another's, or lies in it as in a folder.
func (f *file) clashes(o *file) bool {
	return strings.HasPrefix(o.name+"/", f.name+"/") || strings.HasPrefix(f.name+"/", o.name+"/")
}

// scope is where expressions stand.
type scope struct {
	stage *Stage // nil for none
	roots roots
	what  string         // for messages; "": the attribute's own name
	into  *[]*expression // all that stand there
}

// attr is an attribute that is evaluated for each molecule.
func (in scope) attr(name string, into **expression, want cty.Type,
	accept func(cty.Value) error) item {
	return item{name: name, attr: func(a *hcl.Attribute) error {
		*into = in.expression(a, want)
		(*into).accept = accept
		return nil
	}}
}

func (in scope) expression(a *hcl.Attribute, want cty.Type) *expression {
	e := &expression{Expression: a.Expr, name: a.Name, what: cmp.Or(in.what, a.Name),
		at: a.NameRange, roots: in.roots, stage: in.stage, want: want}
	if in.into != nil {
		*in.into = append(*in.into, e)
	}
	return e
}

// conditions are blocks of a condition and its message.
func (p *Pipeline) conditions(in scope, kind string, into *[]*expression) item {
	schema := &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}
	return item{name: kind, block: func(b *hcl.Block) {
		content, diags := b.Body.Content(schema)
		lacks := func(d *hcl.Diagnostic) bool { return d.Summary == "Missing required argument" }
		if others := slices.DeleteFunc(slices.Clone(diags), lacks); len(others) > 0 {
			diags = others // what is misspelt is missing, too
		}
		if p.add(diags) {
			e := in.expression(content.Attributes["condition"], cty.Bool)
			e.message = in.expression(content.Attributes["error_message"], cty.String)
			e.at = b.DefRange
			*into = append(*into, e)
		}
	}}
}

// requirement is a condition whose functions have the message.
func (in scope) requirement(into *[]*expression) item {
	return item{name: "require", attr: func(a *hcl.Attribute) error {
		*into = append(*into, in.expression(a, cty.Bool))
		return nil
	}}
}

// scratchName says what is wrong with the name of a file in a scratch folder, "" for nothing.
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

// eachOnce refuses a name that an object has twice: HCL takes the last.
func (p *Pipeline) eachOnce(n hclsyntax.Node) {
	object, ok := n.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return
	}
	lines := map[string]int{}
	for _, item := range object.Items {
		key, diags := item.KeyExpr.Value(nil)
		if name, ok := as[string](key); ok && !diags.HasErrors() {
			rng := item.KeyExpr.Range()
			if lines[name] > 0 {
				p.wrong(rng, "Duplicate name", "%q stands already at line %d of this object.", name,
					lines[name])
			}
			lines[name] = rng.Start.Line
		}
	}
}

func variableName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

// inOrder returns attributes as they stand in the file.
func inOrder(attrs hcl.Attributes) []*hcl.Attribute {
	return slices.SortedFunc(maps.Values(attrs),
		func(a, b *hcl.Attribute) int { return a.Range.Start.Byte - b.Range.Start.Byte })
}
