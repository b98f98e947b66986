package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	fmt.Fprintf(h, "pipeline 2\n%q\n", p.tokens(hcl.Range{End: hcl.Pos{Byte: len(p.src)}}))
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

// reading is what decides how the values of a stage's targets are read, as far as the file says it.
type reading struct {
	text string // the expressions, the versions of their functions, the user's own files that they read
	uses []use
}

// use is one of the molecule's values that the expressions name.
type use struct {
	name  string
	value func(*hcl.EvalContext) (cty.Value, hcl.Diagnostics)
}

// newReading collects it once: it is asked for at every visit of every molecule. files are the user's own that the expressions read.
func (p *Pipeline) newReading(s *Stage, files []string) *reading {
	r := &reading{}
	var b strings.Builder
	_, exprs := s.expressions()
	seen := map[string]bool{}
	for _, e := range exprs {
		fmt.Fprintf(&b, "expression %q\n", p.tokens(e.Range()))
		for _, name := range functionsIn(e) {
			if v := p.versions[name]; v != 0 && !seen[name] {
				seen[name] = true
				fmt.Fprintf(&b, "function %s %d\n", name, v)
			}
		}
		parts := stageParts(e)
		for _, t := range e.Variables() {
			name := p.tokens(t.SourceRange())
			all := []use{{name, t.TraverseAbs}}
			if attrs := parts[t.SourceRange()]; attrs != nil {
				all = nil
				for _, attr := range attrs {
					all = append(all, use{name + "[*]." + attr, func(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) { return ofEach(t, attr, ctx) }})
				}
			}
			for _, u := range all {
				if t.RootName() != "output" && !seen[u.name] {
					seen[u.name] = true
					r.uses = append(r.uses, u)
				}
			}
		}
	}
	for _, path := range files {
		fmt.Fprintf(&b, "file %s\n", p.files[path])
	}
	r.text = b.String()
	return r
}

// stageParts finds where an expression names a for_each stage as a whole and yet uses only some of its values: stage.pm7[*].hof,
// stage.pm7[i].hof, [for run in stage.pm7 : run.hof]. Of those alone it depends. The key is the place of stage.NAME.
func stageParts(e hcl.Expression) map[hcl.Range][]string {
	out := map[hcl.Range][]string{}
	note := func(collection hclsyntax.Expression, attrs []string) {
		if src, ok := collection.(*hclsyntax.ScopeTraversalExpr); ok && src.Traversal.RootName() == "stage" && len(src.Traversal) == 2 {
			out[src.Traversal.SourceRange()] = attrs
		}
	}
	visit(e, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.SplatExpr:
			if each, ok := x.Each.(*hclsyntax.RelativeTraversalExpr); ok {
				if name, ok := attrAt(each.Traversal, 0); ok {
					note(x.Source, []string{name})
				}
			}
		case *hclsyntax.RelativeTraversalExpr:
			if i, ok := x.Source.(*hclsyntax.IndexExpr); ok {
				if name, ok := attrAt(x.Traversal, 0); ok {
					note(i.Collection, []string{name})
				}
			}
		case *hclsyntax.ForExpr:
			if attrs := attrsOf(x); attrs != nil {
				note(x.CollExpr, attrs)
			}
		}
	})
	return out
}

// attrsOf are the attributes of its elements that a for expression uses, nil where it uses a whole element, or none.
func attrsOf(f *hclsyntax.ForExpr) (attrs []string) {
	for _, e := range []hclsyntax.Expression{f.KeyExpr, f.ValExpr, f.CondExpr} {
		if e == nil {
			continue
		}
		for _, t := range e.Variables() {
			if t.RootName() != f.ValVar {
				continue
			}
			name, ok := attrAt(t, 1)
			if !ok {
				return nil
			}
			attrs = append(attrs, name)
		}
	}
	return attrs
}

// ofEach is one attribute of every element of a list; of the object itself where it is no list.
func ofEach(t hcl.Traversal, attr string, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := t.TraverseAbs(ctx)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() {
		return v, diags
	}
	elems := []cty.Value{v}
	if isList(v.Type()) {
		elems = v.AsValueSlice()
	}
	for i, e := range elems {
		if elems[i] = cty.NullVal(cty.DynamicPseudoType); e.Type().IsObjectType() && e.Type().HasAttribute(attr) {
			elems[i] = e.GetAttr(attr)
		}
	}
	return cty.TupleVal(elems), nil
}

func functionsIn(e hcl.Expression) []string {
	set := map[string]bool{}
	visit(e, func(n hclsyntax.Node) {
		if f, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			set[f.Name] = true
		}
	})
	return names(set)
}

// visit calls do for every part of an expression.
func visit(e hcl.Expression, do func(hclsyntax.Node)) {
	if node, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			do(n)
			return nil
		})
	}
}
