package pipeline

import (
	"fmt"
	"math/big"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"grimperium/internal/packed"
)

func (p *Pipeline) decodeStage(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(stageSchema)
	s := &Stage{Name: b.Labels[0], Title: b.Labels[0], Line: b.DefRange.Start.Line, Outputs: map[string]string{},
		Limits: Limits{Bytes: 2 << 30, Files: 10_000}, valueType: cty.EmptyObject, Cores: 1}
	expr := func(name string) hcl.Expression {
		if a := content.Attributes[name]; a != nil {
			return a.Expr
		}
		return nil
	}
	s.enabled, s.command, s.values, s.each = expr("enabled"), expr("command"), expr("values"), expr("for_each")
	s.timeout, s.env, s.programs, s.cores = expr("timeout"), expr("env"), expr("programs"), expr("cores")
	s.worker, s.validate, s.warnings = expr("worker"), expr("validate"), expr("warnings")
	s.ForEach = s.each != nil
	if s.values != nil {
		s.valueType = cty.DynamicPseudoType // until it is checked
	}
	if a := content.Attributes["title"]; a != nil {
		v, d := constant(a, cty.String)
		if diags = append(diags, d...); !d.HasErrors() {
			s.Title, s.Titled = v.AsString(), true
		}
	}
	diags = append(diags, s.decodeLimit(content.Attributes["max_bytes"], &s.Limits.Bytes)...)
	if a := content.Attributes["exit_codes"]; a != nil {
		diags = append(diags, s.decodeExitCodes(a)...)
	}
	if a := content.Attributes["salvage"]; a != nil {
		diags = append(diags, s.decodeSalvage(a)...)
	}
	if a := content.Attributes["at_least"]; a != nil {
		diags = append(diags, s.decodeAtLeast(a)...)
	}
	if a := content.Attributes["no_retry"]; a != nil {
		diags = append(diags, s.decodeNoRetry(a)...)
	}
	files := int64(s.Limits.Files)
	diags = append(diags, s.decodeLimit(content.Attributes["max_files"], &files)...)
	s.Limits.Files = int(files)
	for _, fb := range content.Blocks.OfType("file") {
		diags = append(diags, s.decodeFile(fb)...)
	}
	var more hcl.Diagnostics
	diags = append(diags, s.decodeKeep(content.Attributes["keep"], content.Attributes["compress"])...)
	s.pre, more = decodeConditions(content.Blocks, "precondition")
	diags = append(diags, more...)
	s.post, more = decodeConditions(content.Blocks, "postcondition")
	diags = append(diags, more...)
	if s.command == nil && (len(s.files) > 0 || content.Attributes["outputs"] != nil || s.values == nil) {
		diags = append(diags, wrong(b.DefRange, "Stage without a command",
			fmt.Sprintf("Stage %q makes files, so it needs a command = [\"program\", ...]; or, to compute from other stages alone, only values.", s.Name)))
	}
	// outputs is decoded when variables are known: its names may depend on them.
	s.body, s.rng = b.Body.(*hclsyntax.Body), b.DefRange
	p.stages[s.Name] = s
	p.Stages = append(p.Stages, s)
	return diags
}

// decodeSalvage reads which files of an attempt that ran out of time the next one may use.
func (s *Stage) decodeSalvage(a *hcl.Attribute) hcl.Diagnostics {
	v, d := constant(a, cty.List(cty.String))
	if d.HasErrors() {
		return d
	}
	for _, e := range v.AsValueSlice() {
		name := ""
		if !e.IsNull() {
			name = e.AsString()
		}
		if why := scratchName(name); why != "" || strings.Contains(name, "/") {
			d = append(d, wrong(a.Expr.Range(), "Unsuitable salvage", fmt.Sprintf("%q must be the plain name of a file in the stage's own folder.", name)))
		}
		s.Salvage = append(s.Salvage, name)
	}
	return d
}

// decodeKeep reads which files stay of a run, and which of them are compressed. Without keep: what the program said and the files that are written
// for this target alone.
func (s *Stage) decodeKeep(keep, compress *hcl.Attribute) (diags hcl.Diagnostics) {
	if keep != nil {
		s.Keep, diags = patterns(keep)
	} else {
		s.Keep = []string{"stdout", "stderr"}
		for _, f := range s.files {
			if f.content != nil {
				s.Keep = append(s.Keep, f.name)
			}
		}
	}
	if compress != nil {
		var more hcl.Diagnostics
		s.Compress, more = patterns(compress)
		diags = append(diags, more...)
	}
	return diags
}

// patterns are names of files in the stage's own folder, with * and ? for others' letters.
func patterns(a *hcl.Attribute) (out []string, diags hcl.Diagnostics) {
	v, d := constant(a, cty.List(cty.String))
	if d.HasErrors() {
		return nil, d
	}
	for _, e := range v.AsValueSlice() {
		name := ""
		if !e.IsNull() {
			name = e.AsString()
		}
		why := scratchName(name)
		if _, err := path.Match(name, ""); err != nil && why == "" {
			why = fmt.Sprintf("%q is no pattern: * stands for any letters, ? for one, [abc] for one of these.", name)
		}
		if why != "" {
			diags = append(diags, wrong(a.Expr.Range(), "Unsuitable "+a.Name, why))
		}
		out = append(out, name)
	}
	return out, diags
}

// packed says whether an output is stored compressed.
func (s *Stage) packed(output string) bool {
	file, ok := s.Outputs[output]
	return ok && packed.Matches(s.Compress, file)
}

// decodeExitCodes reads what a program means by its exit codes: an object of codes from 1 to 255, or signals, and texts.
func (s *Stage) decodeExitCodes(a *hcl.Attribute) hcl.Diagnostics {
	v, d := constant(a, cty.Map(cty.String))
	if d.HasErrors() {
		return d
	}
	s.ExitCodes, s.Signals = map[int]string{}, map[string]string{}
	for key, text := range v.AsValueMap() {
		if unix.SignalNum("SIG"+key) != 0 && !text.IsNull() && text.AsString() != "" {
			s.Signals[key] = text.AsString()
			continue
		}
		code, err := strconv.Atoi(key)
		if err != nil || code < 1 || code > 255 || text.IsNull() || text.AsString() == "" {
			d = append(d, wrong(a.Expr.Range(), "Invalid exit code", fmt.Sprintf("exit_codes needs exit codes from 1 to 255, or signals, and what each means, as { \"1\" = \"...\", SEGV = \"...\" }, not %q.", key)))
			continue
		}
		s.ExitCodes[code] = text.AsString()
	}
	return d
}

// decodeNoRetry reads after which exit codes a target is not tried again.
func (s *Stage) decodeNoRetry(a *hcl.Attribute) hcl.Diagnostics {
	v, d := constant(a, cty.List(cty.Number))
	if d.HasErrors() {
		return d
	}
	if s.command == nil {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable no_retry", fmt.Sprintf("Stage %q has no command, so nothing ends with an exit code.", s.Name))}
	}
	for _, e := range v.AsValueSlice() {
		code := 0.0
		if !e.IsNull() {
			code = toFloat(e)
		}
		if code < 1 || code > 255 || code != float64(int(code)) {
			return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable no_retry", "no_retry is a list of exit codes from 1 to 255, like [3].")}
		}
		s.NoRetry = append(s.NoRetry, int(code))
	}
	return nil
}

func (s *Stage) decodeLimit(a *hcl.Attribute, into *int64) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	v, d := constant(a, cty.Number)
	if d.HasErrors() {
		return d
	}
	n, exact := v.AsBigFloat().Int64()
	if n <= 0 || exact != big.Exact {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Invalid limit", a.Name+" must be a whole number, 1 or more.")}
	}
	*into = n
	return nil
}

func (s *Stage) decodeFile(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(fileSchema)
	f := &file{name: b.Labels[0], rng: b.LabelRanges[0]}
	if err := scratchName(f.name); err != "" {
		diags = append(diags, wrong(f.rng, "Path outside of the scratch folder", err))
	}
	c, src := content.Attributes["content"], content.Attributes["source"]
	switch {
	case (c == nil) == (src == nil):
		diags = append(diags, wrong(b.DefRange, "File without content",
			fmt.Sprintf("The file %q needs either content = \"...\" or source = \"a file beside pipeline.hcl\".", f.name)))
		return diags
	case c != nil:
		f.content = c.Expr
	default:
		f.source = src.Expr
	}
	if slices.ContainsFunc(s.files, func(o *file) bool { return o.name == f.name }) {
		diags = append(diags, wrong(f.rng, "Duplicate block", fmt.Sprintf("The file %q is written twice in this stage.", f.name)))
	}
	s.files = append(s.files, f)
	return diags
}

// scratchName says what is wrong with a file name that is to lie in a target's scratch folder, "" for nothing.
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

// inOrder returns a body's attributes as they stand in the file.
func inOrder(attrs hclsyntax.Attributes) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return out
}

// expressions returns every expression of the stage that is evaluated, the ones that decide what runs first.
func (s *Stage) expressions() (run, read []hcl.Expression) {
	add := func(list *[]hcl.Expression, es ...hcl.Expression) {
		for _, e := range es {
			if e != nil {
				*list = append(*list, e)
			}
		}
	}
	add(&run, s.enabled, s.each, s.command, s.timeout, s.env, s.programs, s.cores, s.worker)
	for _, f := range s.files {
		add(&run, f.content, f.source)
	}
	for _, c := range s.pre {
		add(&run, c.condition, c.message)
	}
	add(&read, s.values, s.warnings)
	for _, c := range s.post {
		add(&read, c.condition, c.message)
	}
	return run, read
}

// outputsAttr is the outputs attribute, nil where there is none.
func (s *Stage) outputsAttr() *hclsyntax.Attribute { return s.body.Attributes["outputs"] }
