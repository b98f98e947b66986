package pipeline

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var (
	rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "pipeline"}, {Type: "locals"}, {Type: "molecule"}, {Type: "merge"},
		{Type: "variable", LabelNames: []string{"name"}}, {Type: "program", LabelNames: []string{"name"}}, {Type: "stage", LabelNames: []string{"name"}},
	}}
	pipelineSchema  = attributes("table", "artefacts", "max_reruns", "jobs", "env", "max_failures", "max_invalid", "max_recompute", "when_exceeded", "order")
	variableSchema  = withBlocks(attributes("description", "default", "type"), "validation")
	programSchema   = attributes("path", "version", "version_pattern", "debian", "conda")
	moleculeSchema  = withBlocks(attributes("size"), "precondition")
	conditionSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}
	fileSchema      = attributes("content", "source")
	stageSchema     = &hcl.BodySchema{
		Attributes: attributes("title", "command", "timeout", "outputs", "values", "for_each", "env", "programs", "cores", "worker", "validate", "salvage", "keep", "compress", "enabled", "max_bytes", "max_files", "exit_codes", "at_least", "no_retry", "warnings").Attributes,
		Blocks:     []hcl.BlockHeaderSchema{{Type: "file", LabelNames: []string{"name"}}, {Type: "precondition"}, {Type: "postcondition"}},
	}
)

func attributes(names ...string) *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, n := range names {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: n})
	}
	return s
}

func withBlocks(s *hcl.BodySchema, types ...string) *hcl.BodySchema {
	for _, t := range types {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: t})
	}
	return s
}

// parse returns the file, nil where nothing of it can be used.
func (p *Pipeline) parse(path string, src []byte) (*hcl.File, hcl.Diagnostics) {
	p.texts[path] = &hcl.File{Bytes: src}
	if at, ok := notUTF8(src); ok {
		return nil, hcl.Diagnostics{wrong(hcl.Range{Filename: path, Start: at, End: at}, "File is not UTF-8",
			"This byte can't be part of a UTF-8 text. Save the file as UTF-8.")}
	}
	if d := checkNesting(src, path); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if file != nil {
		p.texts[path] = file
	}
	for _, d := range diags {
		if d.Summary == "Unterminated template string" {
			unclosedHeredoc(d, src, path)
		}
	}
	return file, soften(diags)
}

// unclosedHeredoc moves a mistake that is seen at the end of the file to where the text begins.
func unclosedHeredoc(d *hcl.Diagnostic, src []byte, path string) {
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos)
	var open []hclsyntax.Token
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOHeredoc:
			open = append(open, t)
		case hclsyntax.TokenCHeredoc:
			open = open[:max(len(open)-1, 0)]
		}
	}
	if len(open) > 0 {
		rng := open[0].Range
		rng.End = hcl.Pos{Line: rng.Start.Line, Column: rng.Start.Column + 2, Byte: rng.Start.Byte + 2}
		d.Subject, d.Context = &rng, nil
		d.Detail = fmt.Sprintf("The text that begins here has no end: a line with nothing but %s.", strings.Trim(string(open[0].Bytes), "<- \r\n"))
	}
}

// notUTF8 finds the first byte that is no part of a UTF-8 text.
func notUTF8(src []byte) (at hcl.Pos, found bool) {
	at = hcl.InitialPos
	for at.Byte < len(src) {
		r, n := utf8.DecodeRune(src[at.Byte:])
		if r == utf8.RuneError && n == 1 {
			return at, true
		}
		if at.Byte += n; r == '\n' {
			at.Line, at.Column = at.Line+1, 1
		} else {
			at.Column++
		}
	}
	return at, false
}

func (p *Pipeline) decode(body *hclsyntax.Body) hcl.Diagnostics {
	content, diags := body.Content(rootSchema)
	first := map[string]*hcl.Block{}
	if n := len(content.Blocks); n > maxBlocks {
		return append(diags, wrong(content.Blocks[maxBlocks].DefRange, "Too many blocks", fmt.Sprintf("The file has %d blocks; %d are the most.", n, maxBlocks)))
	}
	for _, b := range content.Blocks {
		key := b.Type
		if len(b.Labels) > 0 {
			key += " " + b.Labels[0]
			if !hclsyntax.ValidIdentifier(b.Labels[0]) || strings.ContainsAny(b.Labels[0], ".") {
				diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid name",
					Detail: fmt.Sprintf("%q can't be the name of a %s: a name has letters, digits, _ and -, and begins with a letter.", b.Labels[0], b.Type), Subject: &b.LabelRanges[0]})
				continue
			}
		}
		folder := strings.ToLower(key)
		if old := first[folder]; old != nil && b.Type == "stage" && old.Labels[0] != b.Labels[0] {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Duplicate block",
				Detail: fmt.Sprintf("The stage %q at line %d differs in letter case only, and their folders would be one on many disks. Give one of the two another name.", old.Labels[0], old.DefRange.Start.Line), Subject: &b.DefRange})
			continue
		}
		if b.Type != "stage" {
			folder = key
		}
		if old := first[folder]; old != nil && b.Type != "locals" && b.Type != "merge" {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Duplicate block",
				Detail: fmt.Sprintf("The block %s stands already at line %d. Give one of the two another name.", key, old.DefRange.Start.Line), Subject: &b.DefRange})
			continue
		}
		first[folder] = b
		diags = append(diags, p.decodeBlock(b)...)
	}
	if first["pipeline"] == nil && len(content.Blocks) > 0 {
		p.setDefaults()
	}
	return diags
}

func (p *Pipeline) setDefaults() {
	p.Table, p.Artefacts, p.MaxReruns, p.Jobs = p.rooted("data/thermo_pm7.csv"), p.rooted("artefacts"), 3, 1
	p.MaxRecompute = 0.5
}

func (p *Pipeline) rooted(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(p.Dir, name)
}

func (p *Pipeline) decodeBlock(b *hcl.Block) hcl.Diagnostics {
	switch b.Type {
	case "pipeline":
		return p.decodePipeline(b)
	case "variable":
		return p.decodeVariable(b)
	case "locals":
		attrs, diags := b.Body.JustAttributes()
		for name, a := range attrs {
			if old := p.locals[name]; old != nil {
				diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Duplicate local value",
					Detail: fmt.Sprintf("local.%s is set already at line %d.", name, old.attr.NameRange.Start.Line), Subject: &a.NameRange})
				continue
			}
			p.locals[name] = &local{name: name, attr: b.Body.(*hclsyntax.Body).Attributes[name]}
		}
		return diags
	case "program":
		return p.decodeProgram(b)
	case "stage":
		return p.decodeStage(b)
	case "molecule":
		content, diags := b.Body.Content(moleculeSchema)
		var more hcl.Diagnostics
		p.conds, more = decodeConditions(content.Blocks, "precondition")
		if a := content.Attributes["size"]; a != nil {
			p.size = a.Expr
		}
		return append(diags, more...)
	case "merge":
		_, diags := b.Body.JustAttributes()
		for _, a := range inOrder(b.Body.(*hclsyntax.Body).Attributes) {
			if slices.Contains(p.reserved, a.Name) {
				diags = append(diags, wrong(a.NameRange, "Column is not the merge's", fmt.Sprintf("The column %q belongs to the molecule or to the batch itself.", a.Name)))
				continue
			}
			if slices.Contains(p.Merged, a.Name) {
				diags = append(diags, wrong(a.NameRange, "Duplicate column", fmt.Sprintf("The column %q is merged already.", a.Name)))
				continue
			}
			p.merge = append(p.merge, a)
			p.Merged = append(p.Merged, a.Name)
		}
		return diags
	}
	return nil
}

func (p *Pipeline) decodePipeline(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(pipelineSchema)
	p.setDefaults()
	for name, a := range content.Attributes {
		p.Given[name] = a.NameRange.Start.Line
	}
	diags = append(diags, p.decodeAlarms(content.Attributes)...)
	text := func(name string, into *string) {
		if a := content.Attributes[name]; a != nil {
			v, d := constant(a, cty.String)
			diags = append(diags, d...)
			if !d.HasErrors() {
				*into = p.rooted(v.AsString())
			}
		}
	}
	text("table", &p.Table)
	text("artefacts", &p.Artefacts)
	whole := func(name, meaning string, least, most int, into *int) {
		a := content.Attributes[name]
		if a == nil {
			return
		}
		v, d := constant(a, cty.Number)
		diags = append(diags, d...)
		if d.HasErrors() {
			return
		}
		if n := toFloat(v); n != float64(int(n)) || n < float64(least) || n > float64(most) {
			diags = append(diags, wrong(a.Expr.Range(), "Invalid "+name, fmt.Sprintf("%s is %s: a whole number from %d to %d.", name, meaning, least, most)))
		} else {
			*into = int(n)
		}
	}
	whole("max_reruns", "how often a failed molecule is tried again", 0, 1000, &p.MaxReruns)
	whole("jobs", "how many processor cores a batch may use", 1, 4096, &p.Jobs)
	if a := content.Attributes["order"]; a != nil {
		v, d := constant(a, cty.String)
		if diags = append(diags, d...); !d.HasErrors() {
			p.orderRange = a.Expr.Range()
			if p.SmallestFirst = v.AsString() == "smallest_first"; !p.SmallestFirst && v.AsString() != "table" {
				diags = append(diags, wrong(p.orderRange, "Invalid order", `order must be "table" or "smallest_first".`))
			}
		}
	}
	if a := content.Attributes["env"]; a != nil {
		var err error
		v, d := constant(a, cty.Map(cty.String))
		diags = append(diags, d...)
		if !d.HasErrors() {
			if p.env, err = environment(v); err != nil {
				diags = append(diags, wrong(a.Expr.Range(), "Unsuitable env", sentence(err.Error())))
			}
		}
	}
	return diags
}

// decodeAlarms reads what a batch raises an alarm about.
func (p *Pipeline) decodeAlarms(attrs hcl.Attributes) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for name, into := range map[string]*float64{"max_failures": &p.Alarms.Failures, "max_invalid": &p.Alarms.Invalid, "max_recompute": &p.MaxRecompute} {
		a := attrs[name]
		if a == nil {
			continue
		}
		v, d := constant(a, cty.String)
		if diags = append(diags, d...); d.HasErrors() {
			continue
		}
		digits, ok := strings.CutSuffix(v.AsString(), "%")
		share, err := strconv.ParseFloat(digits, 64)
		if !ok || err != nil || !(share > 0 && share <= 100) {
			diags = append(diags, wrong(a.Expr.Range(), "Invalid share", name+` must be a percentage such as "5%", above 0% and at most 100%.`))
			continue
		}
		*into = share / 100
	}
	if a := attrs["when_exceeded"]; a != nil {
		v, d := constant(a, cty.String)
		if diags = append(diags, d...); !d.HasErrors() {
			if p.Alarms.Stop = v.AsString() == "stop"; !p.Alarms.Stop && v.AsString() != "warn" {
				diags = append(diags, wrong(a.Expr.Range(), "Invalid when_exceeded", `when_exceeded must be "warn" or "stop".`))
			}
		}
	}
	return diags
}

// constant evaluates an attribute that may name nothing.
func constant(a *hcl.Attribute, want cty.Type) (cty.Value, hcl.Diagnostics) {
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return v, diags
	}
	v, err := convert.Convert(v, want)
	if err != nil || v.IsNull() || !v.IsWhollyKnown() {
		return v, hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable value", fmt.Sprintf("%s must be %s.", a.Name, aType(want)))}
	}
	if want == cty.Map(cty.String) {
		for k, e := range v.AsValueMap() {
			if e.IsNull() {
				return v, hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable value", fmt.Sprintf("%s in %s has no value.", k, a.Name))}
			}
		}
	}
	return v, nil
}

func withConditions(diags hcl.Diagnostics, blocks hcl.Blocks, kind string) ([]*condition, hcl.Diagnostics) {
	c, more := decodeConditions(blocks, kind)
	return c, append(diags, more...)
}

func decodeConditions(blocks hcl.Blocks, kind string) (out []*condition, diags hcl.Diagnostics) {
	for _, b := range blocks.OfType(kind) {
		content, d := b.Body.Content(conditionSchema)
		diags = append(diags, d...)
		if !d.HasErrors() {
			out = append(out, &condition{content.Attributes["condition"].Expr, content.Attributes["error_message"].Expr, b.DefRange})
		}
	}
	return out, diags
}

func (p *Pipeline) decodeProgram(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(programSchema)
	prog := &Program{Name: b.Labels[0], Line: b.DefRange.Start.Line}
	words := func(name string) []string {
		a := content.Attributes[name]
		if a == nil {
			return nil
		}
		v, d := a.Expr.Value(nil)
		diags = append(diags, d...)
		if d.HasErrors() {
			return nil
		}
		if v.Type() == cty.String && name == "path" && !v.IsNull() {
			return []string{v.AsString()}
		}
		list, err := convert.Convert(v, cty.List(cty.String))
		if err != nil || list.IsNull() || !list.IsWhollyKnown() || list.LengthInt() == 0 {
			diags = append(diags, wrong(a.Expr.Range(), "Unsuitable value", name+` must be a list of texts, like ["`+prog.Name+`", "--version"].`))
			return nil
		}
		var out []string
		for _, e := range list.AsValueSlice() {
			if e.IsNull() {
				diags = append(diags, wrong(a.Expr.Range(), "Unsuitable value", name+" has an element without a value."))
				return nil
			}
			out = append(out, e.AsString())
		}
		return out
	}
	prog.Candidates = words("path")
	if prog.Candidates == nil {
		prog.Candidates = []string{prog.Name}
	}
	if v := words("version"); v != nil {
		if v[0] != prog.Name {
			diags = append(diags, wrong(content.Attributes["version"].Expr.Range(), "Version of another program",
				fmt.Sprintf("The version command must start with the program itself: [%q, ...].", prog.Name)))
		}
		prog.Version = v[1:]
	}
	if a := content.Attributes["version_pattern"]; a != nil {
		diags = append(diags, prog.decodePattern(a)...)
	}
	for name, into := range map[string]*string{"debian": &prog.Debian, "conda": &prog.Conda} {
		if a := content.Attributes[name]; a != nil {
			if v, d := constant(a, cty.String); d.HasErrors() {
				diags = append(diags, d...)
			} else {
				*into = v.AsString()
			}
		}
	}
	p.Programs[prog.Name] = prog
	return diags
}

// decodePattern reads what of a program's answer is its version.
func (prog *Program) decodePattern(a *hcl.Attribute) hcl.Diagnostics {
	v, diags := constant(a, cty.String)
	if diags.HasErrors() {
		return diags
	}
	var err error
	if prog.Pattern, err = regexp.Compile(v.AsString()); err != nil || v.AsString() == "" {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable pattern",
			"version_pattern must be a regular expression, like \"xtb version [0-9.]+\". What it matches in the answer to the version command, or its first group, is the program's version.")}
	}
	if prog.Version == nil {
		return hcl.Diagnostics{wrong(a.NameRange, "Pattern without a version", fmt.Sprintf("version_pattern is for the answer to a version command: version = [%q, \"--version\"].", prog.Name))}
	}
	return nil
}
