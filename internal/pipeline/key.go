package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tokens is a part of the file without comments and layout. What stands in quotes stays as it is.
func (p *Pipeline) tokens(rng hcl.Range) string {
	if rng.End.Byte > len(p.src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	tokens, _ := hclsyntax.LexConfig(p.src[rng.Start.Byte:rng.End.Byte], "", hcl.InitialPos)
	var b strings.Builder
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment, hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		default:
			b.Write(t.Bytes)
			b.WriteByte(0)
		}
	}
	return b.String()
}

func (p *Pipeline) key() string {
	h := sha256.New()
	// Where something is computed decides no result.
	fmt.Fprintf(h, "pipeline 3\n%q\n", p.tokens(hcl.Range{End: p.clusterAt.Start})+
		p.tokens(hcl.Range{Start: p.clusterAt.End, End: hcl.Pos{Byte: len(p.src)}}))
	for _, v := range p.Variables {
		data, _ := toJSON(v.value) // has been checked
		fmt.Fprintf(h, "variable %s %s\n", v.Name, data)
	}
	for _, path := range names(p.files) {
		fmt.Fprintf(h, "file %q %s\n", path, p.files[path])
	}
	for _, name := range names(p.versions) {
		fmt.Fprintf(h, "function %s %d\n", name, p.versions[name])
	}
	for _, c := range p.Columns {
		fmt.Fprintf(h, "column %q %t\n", c, p.columnType(c) == cty.Number)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// recipe is what decides how the values of a stage are read and checked, as far as the file says
// it. It has expressions with their local values, versions of functions, and files that these read.
type recipe struct {
	text  string
	timed bool                     // it names the wall time of targets
	uses  map[string]hcl.Traversal // the molecule's values that they name, by their text
}

func (p *Pipeline) newRecipe(s *Stage) *recipe {
	r := &recipe{uses: map[string]hcl.Traversal{}}
	var b strings.Builder
	versions, reads := map[string]int{}, []string(nil)
	runs := func(e *expression) bool {
		before := func(c *expression) bool { return c == e || c.message == e }
		return e.roots&outputRoot == 0 && !slices.ContainsFunc(s.pre, before)
	}
	for _, e := range p.withLocals(slices.DeleteFunc(slices.Clone(s.expressions), runs)...) {
		text := p.tokens(e.Range())
		fmt.Fprintf(&b, "expression %q\n", text)
		r.timed = r.timed || slices.Contains(strings.Split(text, "\x00"), "seconds")
		reads = append(reads, e.reads...)
		visit(e.Expression, func(n hclsyntax.Node) {
			if f, ok := n.(*hclsyntax.FunctionCallExpr); ok && p.versions[f.Name] != 0 {
				versions[f.Name] = p.versions[f.Name]
			}
		})
		for _, t := range e.Variables() {
			if root := t.RootName(); root != "output" && root != "local" {
				r.uses[p.tokens(t.SourceRange())] = t
			}
		}
	}
	for _, name := range names(versions) {
		fmt.Fprintf(&b, "function %s %d\n", name, versions[name])
	}
	for _, path := range sorted(reads) {
		fmt.Fprintf(&b, "file %s\n", p.files[path])
	}
	r.text = b.String()
	return r
}

// Reading describes how Read would evaluate: while it is the same text and the outputs are the
// same, so are the values.
func (m *Molecule) Reading(s *Stage, i int) string {
	var b strings.Builder
	b.WriteString(s.recipe.text)
	ctx, _ := m.context(&expression{}, m.evaluation(s, i, 0).extra)
	for _, name := range names(s.recipe.uses) {
		v, diags := s.recipe.uses[name].TraverseAbs(ctx)
		data, err := toJSON(m.portable(v, s.recipe.timed))
		if diags.HasErrors() || err != nil {
			data = []byte("none")
		}
		fmt.Fprintf(&b, "%q %s\n", name, data)
	}
	return hashOf([]byte(b.String()))
}

// portable is a value with the content of files instead of their places, and with the wall time of
// targets if that counts.
func (m *Molecule) portable(v cty.Value, timed bool) cty.Value {
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if v.IsNull() || !v.IsKnown() {
			return v, nil
		}
		switch t := v.Type(); {
		case t == cty.String && strings.Contains(v.AsString(), "/"):
			return cty.StringVal(m.replaceInputs(v.AsString(),
				func(in Input) string { return in.SHA256 })), nil
		case isTarget(t) && !timed:
			attrs := v.AsValueMap()
			attrs["seconds"] = cty.NullVal(t.AttributeType("seconds"))
			return cty.ObjectVal(attrs), nil
		}
		return v, nil
	})
	if err != nil {
		return cty.DynamicVal
	}
	return out
}
