package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// context is what expressions see before there is a molecule.
func (p *Pipeline) context(more map[string]cty.Value) *hcl.EvalContext {
	vars := map[string]cty.Value{"var": p.variableObject()}
	for k, v := range p.base {
		vars[k] = v
	}
	for k, v := range more {
		vars[k] = v
	}
	return &hcl.EvalContext{Variables: vars, Functions: p.functions}
}

// checkContext is what a stage's expressions see during the check: everything of a molecule unknown, but of its type.
func (p *Pipeline) checkContext(s *Stage) *hcl.EvalContext {
	more := map[string]cty.Value{"attempt": cty.UnknownVal(cty.Number).RefineNotNull(),
		"each": cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.Number), "value": cty.DynamicVal})}
	if p.anyColumn {
		more["mol"] = cty.DynamicVal
	} else {
		mol := map[string]cty.Value{}
		for name := range p.columns {
			mol[name] = cty.UnknownVal(p.columnType(name))
		}
		more["mol"] = cty.ObjectVal(mol)
	}
	local := map[string]cty.Value{}
	if v, ok := p.base["local"]; ok {
		local = v.AsValueMap()
	}
	if local == nil {
		local = map[string]cty.Value{}
	}
	for _, name := range p.localOrder {
		if p.locals[name].perMol {
			more["local"] = cty.ObjectVal(local)
			v, diags := p.locals[name].attr.Expr.Value(p.context(more))
			if diags.HasErrors() {
				v = cty.DynamicVal
			}
			local[name] = v
		}
	}
	more["local"] = cty.ObjectVal(local)
	stages := map[string]cty.Value{}
	for _, other := range p.Stages {
		if other != s {
			stages[other.Name] = p.unknownResult(other)
		}
	}
	more["stage"] = cty.ObjectVal(stages)
	if s != nil {
		out := map[string]cty.Value{}
		for name := range s.Outputs {
			out[name] = cty.UnknownVal(cty.String).RefineNotNull()
		}
		more["output"] = cty.ObjectVal(out)
		if s.ForEach {
			more["each"] = p.unknownEach(s, more)
		}
	}
	return p.context(more)
}

// unknownEach types each.value by what for_each is a list of.
func (p *Pipeline) unknownEach(s *Stage, more map[string]cty.Value) cty.Value {
	value := cty.DynamicVal
	delete(more, "each")
	if v, diags := s.each.Value(p.context(more)); !diags.HasErrors() && v.Type().IsListType() {
		value = cty.UnknownVal(v.Type().ElementType())
	}
	return cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.Number).RefineNotNull(), "value": value})
}

// resultType is the object that stage.NAME is, dynamic where the values' names are not known before the stage has run.
func (s *Stage) resultType() cty.Type {
	if !s.valueType.IsObjectType() {
		return cty.DynamicPseudoType
	}
	attrs := map[string]cty.Type{"status": cty.String, "seconds": cty.Number}
	for name, t := range s.valueType.AttributeTypes() {
		attrs[name] = t
	}
	for name := range s.Outputs {
		attrs[name] = cty.String
	}
	return cty.Object(attrs)
}

func (p *Pipeline) unknownResult(s *Stage) cty.Value {
	t := s.resultType()
	if off := p.turnedOff(s); off {
		return s.absent()
	}
	switch {
	case t == cty.DynamicPseudoType:
		return cty.DynamicVal
	case s.ForEach && t.HasDynamicTypes():
		return cty.DynamicVal
	case s.ForEach:
		return cty.UnknownVal(cty.List(t)).RefineNotNull()
	}
	attrs := map[string]cty.Value{}
	for name, at := range t.AttributeTypes() {
		attrs[name] = cty.UnknownVal(at)
		if _, ok := s.Outputs[name]; ok {
			attrs[name] = cty.UnknownVal(at).RefineNotNull()
		}
	}
	return cty.ObjectVal(attrs)
}

// turnedOff says whether a stage is off for every molecule.
func (p *Pipeline) turnedOff(s *Stage) bool {
	if s.enabled == nil || len(p.references(s.enabled, scope{what: "enabled", vars: true, locals: true, mol: true, stages: true})) > 0 {
		return false
	}
	v, diags := s.enabled.Value(p.context(nil))
	if diags.HasErrors() {
		return false
	}
	v, err := convertTo(v, cty.Bool)
	return err == nil && v.IsKnown() && !v.IsNull() && !v.True()
}

// absent is the object of a stage that has no result: every output and value null.
func (s *Stage) absent() cty.Value {
	t := s.resultType()
	if s.ForEach {
		if t.HasDynamicTypes() {
			return cty.EmptyTupleVal
		}
		return cty.ListValEmpty(t)
	}
	attrs := map[string]cty.Value{}
	if t.IsObjectType() {
		for name, at := range t.AttributeTypes() {
			attrs[name] = cty.NullVal(at)
		}
	}
	for name := range s.Outputs {
		attrs[name] = cty.NullVal(cty.String)
	}
	attrs["seconds"] = cty.NullVal(cty.Number)
	attrs["status"] = cty.StringVal(StatusNone)
	return cty.ObjectVal(attrs)
}

// result is the object of one target.
func (s *Stage) result(r Result) cty.Value {
	attrs := s.absent1()
	for name, t := range s.valueTypes() {
		attrs[name] = asType(fromGo(r.Values[name]), t)
	}
	if !s.valueType.IsObjectType() {
		for name, v := range r.Values {
			attrs[name] = fromGo(v)
		}
	}
	for name := range s.Outputs {
		if in, ok := r.Outputs[name]; ok {
			attrs[name] = cty.StringVal(in.Path)
		}
	}
	attrs["status"] = cty.StringVal(r.Status)
	if r.Status != StatusNone {
		attrs["seconds"] = number(r.Seconds)
	}
	return cty.ObjectVal(attrs)
}

func (s *Stage) absent1() map[string]cty.Value {
	one := *s
	one.ForEach = false
	return one.absent().AsValueMap()
}

func (s *Stage) valueTypes() map[string]cty.Type {
	if s.valueType.IsObjectType() {
		return s.valueType.AttributeTypes()
	}
	return nil
}

// context is what expressions see for this molecule.
func (m *Molecule) context(extra map[string]cty.Value) *hcl.EvalContext {
	vars := make(map[string]cty.Value, len(m.vars)+len(extra)+1)
	for k, v := range m.vars {
		vars[k] = v
	}
	for k, v := range extra {
		vars[k] = v
	}
	stages := map[string]cty.Value{}
	for _, s := range m.p.Stages {
		stages[s.Name] = m.stageValue(s)
	}
	vars["stage"] = cty.ObjectVal(stages)
	return &hcl.EvalContext{Variables: vars, Functions: m.p.functions}
}

func (m *Molecule) stageValue(s *Stage) cty.Value {
	results := m.results[s.Name]
	if len(results) == 0 || m.off[s.Name] {
		return s.absent()
	}
	if !s.ForEach {
		return s.result(results[0])
	}
	elems := make([]cty.Value, len(results))
	same := true
	for i, r := range results {
		elems[i] = s.result(r)
		same = same && elems[i].Type().Equals(elems[0].Type())
	}
	if same {
		return cty.ListVal(elems)
	}
	return cty.TupleVal(elems)
}

// plain turns diagnostics that a molecule's values caused into one error: what a function said, as it said it; else
// with the place in the file.
func (p *Pipeline) plain(diags hcl.Diagnostics) error {
	for _, d := range soften(diags) {
		if d.Severity != hcl.DiagError {
			continue
		}
		if call, ok := d.Extra.(hclsyntax.FunctionCallDiagExtra); ok {
			var own *callError
			if errors.As(call.FunctionCallError(), &own) {
				return own.error
			}
		}
		text := strings.TrimSuffix(d.Summary, ".")
		if d.Detail != "" {
			text += ": " + strings.TrimSuffix(d.Detail, ".")
		}
		text = strings.Join(strings.Fields(text), " ")
		if d.Subject == nil {
			return errors.New(text)
		}
		return fmt.Errorf("%s:%d: %s", p.Path, d.Subject.Start.Line, text)
	}
	return nil
}

func (p *Pipeline) at(e hcl.Expression, err error) error {
	return fmt.Errorf("%s:%d: %w", p.Path, e.Range().Start.Line, err)
}

// source is the content of a file beside pipeline.hcl, as it was when the pipeline was checked.
func (p *Pipeline) source(name string) ([]byte, error) {
	data, ok := p.sources[p.rooted(name)]
	if !ok {
		return nil, fmt.Errorf("%s: was not read when the pipeline was checked", name)
	}
	return data, nil
}

// tokens is a part of the file without comments and layout.
func (p *Pipeline) tokens(rng hcl.Range) string {
	if rng.End.Byte > len(p.src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	tokens, _ := hclsyntax.LexConfig(p.src[rng.Start.Byte:rng.End.Byte], "", hcl.InitialPos)
	var b strings.Builder
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment, hclsyntax.TokenNewline, hclsyntax.TokenEOF:
			b.WriteByte(' ') // a # comment takes its line's end with it
		default:
			b.Write(t.Bytes)
			b.WriteByte(0)
		}
	}
	return strings.TrimSpace(b.String())
}

func (p *Pipeline) key() string {
	h := sha256.New()
	fmt.Fprintf(h, "pipeline 1\n%q\n", strings.Join(strings.Fields(p.tokens(hcl.Range{End: hcl.Pos{Byte: len(p.src)}})), " "))
	for _, v := range p.Variables {
		data, _ := json.Marshal(v.Value)
		fmt.Fprintf(h, "variable %s %s\n", v.Name, data)
	}
	for _, path := range names(p.files) {
		fmt.Fprintf(h, "file %q %s\n", path, p.files[path])
	}
	for _, name := range names(p.versions) {
		fmt.Fprintf(h, "function %s %d\n", name, p.versions[name])
	}
	for _, c := range p.Columns {
		fmt.Fprintf(h, "column %q %t\n", c, p.columns[c].Number)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (p *Pipeline) templateFunc(table map[string]function.Function) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			data, err := p.read(name)
			if err != nil {
				return cty.NilVal, err
			}
			if t := args[1].Type(); !t.IsObjectType() && !t.IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "must be an object of names and values")
			}
			e, diags := hclsyntax.ParseTemplate(data, name, hcl.InitialPos)
			if diags.HasErrors() {
				return cty.NilVal, &callError{p.plain(diags)}
			}
			v, diags := e.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: table})
			if diags.HasErrors() {
				return cty.NilVal, &callError{p.plain(diags)}
			}
			v, err = convertTo(v, cty.String)
			return v, err
		},
	})
}

// Errors are the mistakes in a pipeline.hcl, all of them.
type Errors struct {
	path  string
	file  *hcl.File // nil where the text could not even be read as HCL
	diags hcl.Diagnostics
}

func (e *Errors) Error() string {
	if len(e.diags) == 1 {
		return fmt.Sprintf("%s has a mistake: %s", e.path, e.diags[0].Summary)
	}
	return fmt.Sprintf("%s has %d mistakes", e.path, len(e.diags))
}

// Print writes every mistake with its file, line and source; width 0 is 78 columns.
func (e *Errors) Print(w io.Writer, width uint, colour bool) error {
	if width == 0 {
		width = 78
	}
	files := map[string]*hcl.File{}
	if e.file != nil {
		files[e.path] = e.file
	}
	for _, d := range e.diags {
		if d.Subject != nil && files[d.Subject.Filename] == nil {
			if data, err := os.ReadFile(d.Subject.Filename); err == nil {
				files[d.Subject.Filename] = &hcl.File{Bytes: data}
			}
		}
	}
	return hcl.NewDiagnosticTextWriter(w, files, width, colour).WriteDiagnostics(e.diags)
}
