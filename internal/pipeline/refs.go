package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Nearest is the known name from which a name differs by the fewest letters, "" if none differs by
// so few as most. Two letters that were exchanged are less than one.
func Nearest(name string, known []string, most int) (best string) {
	letters := func(s string) string {
		return string(slices.Sorted(slices.Values([]rune(strings.ToLower(s)))))
	}
	least := 2*most + 2
	for _, k := range known {
		if d := len(k) - len(name); d > 4*most || d < -4*most {
			continue // a letter has four bytes at most
		}
		d := 2 * levenshtein.Distance(strings.ToLower(name), strings.ToLower(k), nil)
		if d == 4 && letters(name) == letters(k) {
			d = 1
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// didYouMean suggests the nearest of the known names, in a sentence that starts with a blank.
// Without a near one it lists the names if they are few.
func didYouMean(name string, known []string) string {
	best := Nearest(name, known, 2)
	switch {
	case best != "":
		return fmt.Sprintf(" Did you mean %q?", best)
	case len(known) == 0 || len(known) > 12:
		return ""
	}
	return " There are: " + strings.Join(known, ", ") + "."
}

// rootNames are what an expression may begin with.
var rootNames = map[string]roots{"var": varRoot, "local": localRoot, "mol": molRoot,
	"stage": stageRoot,
	"each":  eachRoot, "attempt": attemptRoot, "salvaged": attemptRoot, "output": outputRoot}

// references checks every name in an expression before it is evaluated, because what HCL says of an
// unknown one helps nobody.
func (p *Pipeline) references(e *expression) (diags hcl.Diagnostics) {
	add := func(d *hcl.Diagnostic) {
		if d != nil {
			diags = append(diags, d)
		}
	}
	for _, t := range e.Variables() {
		add(p.reference(e, t))
	}
	visit(e.Expression, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.FunctionCallExpr:
			if _, ok := p.functions[x.Name]; !ok {
				near := didYouMean(x.Name, names(p.functions))
				add(wrongf(x.NameRange, "Unknown function", "There is no function %q.%s", x.Name,
					near))
			}
			if x.Name == ignoreName && e.roots&mayIgnore == 0 {
				add(wrong(x.NameRange, "Function out of place",
					ignoreName+" can stand in command, env and the "+
						"content of a file only: what else decides a result is never left out."))
			}
		case *hclsyntax.SplatExpr:
			if each, ok := x.Each.(*hclsyntax.RelativeTraversalExpr); ok {
				add(p.element(x.Source, each.Traversal, x.Range()))
			}
		case *hclsyntax.RelativeTraversalExpr:
			if index, ok := x.Source.(*hclsyntax.IndexExpr); ok {
				add(p.element(index.Collection, x.Traversal, x.Range()))
			}
		case *hclsyntax.ForExpr:
			for _, part := range []hclsyntax.Expression{x.KeyExpr, x.ValExpr, x.CondExpr} {
				if part == nil {
					continue
				}
				for _, t := range part.Variables() {
					if t.RootName() == x.ValVar {
						add(p.element(x.CollExpr, t[1:], t.SourceRange()))
					}
				}
			}
		}
	})
	return diags
}

func (p *Pipeline) reference(e *expression, t hcl.Traversal) *hcl.Diagnostic {
	refuse := func(summary, detail string) *hcl.Diagnostic {
		return wrong(t.SourceRange(), summary,
			detail)
	}
	root := t.RootName()
	bit, known := rootNames[root]
	if word := strings.ToLower(root); !known && slices.Contains([]string{"true", "false", "null"},
		word) {
		return refuse("Unknown name", fmt.Sprintf("Nothing is called %q. Did you mean %s?", root,
			word))
	} else if !known {
		near := didYouMean(root, names(rootNames))
		if strings.HasPrefix(near, " There") {
			near = ""
		}
		return refuse("Unknown name", fmt.Sprintf("Nothing is called %q. An expression may name "+
			"%s; a text stands in quotes.%s",
			root, "var, local, mol, stage, each, attempt, salvaged, output", near))
	}
	if e.roots&bit == 0 || bit == eachRoot && e.stage != nil && !e.stage.ForEach {
		return refuse("Name out of place", outOfPlace(root, e))
	}
	if bit == attemptRoot {
		return nil
	}
	name, ok := attrAt(t, 1)
	if !ok {
		return refuse("Incomplete name", fmt.Sprintf("%q alone names nothing; write %s.NAME.", root,
			root))
	}
	return p.member(e, t, name)
}

// outOfPlace says why a name that exists can't stand there.
func outOfPlace(root string, e *expression) string {
	switch {
	case root == "each" && e.stage != nil && !e.stage.ForEach:
		return fmt.Sprintf("\"each\" is an element of for_each, and stage %q has none.",
			e.stage.Name)
	case root == "output" && e.stage != nil:
		return "output.NAME is a file that the stage has made, for values, require and " +
			"postconditions. Before that, write the file's name itself."
	}
	return fmt.Sprintf("%q can't be used in %s.", root, e.what)
}

func (p *Pipeline) member(e *expression, t hcl.Traversal, name string) *hcl.Diagnostic {
	unknown := func(what string, known []string) *hcl.Diagnostic {
		return wrongf(t.SourceRange(), "Unknown "+what, "There is no %s %q.%s", what, name,
			didYouMean(name, known))
	}
	switch root := t.RootName(); root {
	case "var":
		if p.variables[name] == nil {
			return unknown("variable", names(p.variables))
		}
	case "local":
		l := p.locals[name]
		if l == nil {
			return unknown("local value", names(p.locals))
		}
		for _, needs := range []struct {
			root  roots
			names []string
			what  string
		}{{molRoot, l.columns, "mol"}, {stageRoot, l.stages, "stage"}} {
			if e.roots&needs.root == 0 && len(needs.names) > 0 {
				return wrongf(t.SourceRange(), "Name out of place",
					"local.%s uses %s.%s, which can't be used in %s.",
					name, needs.what, needs.names[0], e.what)
			}
		}
	case "mol":
		if _, ok := p.columns[name]; !ok && !p.anyColumn {
			return wrongf(t.SourceRange(), "Unknown column", "The table has no column %q.%s", name,
				didYouMean(name, names(p.columns)))
		}
	case "each":
		if name != "key" && name != "value" {
			return unknown("part of each", []string{"key", "value"})
		}
	case "output":
		if _, ok := e.stage.Outputs[name]; !ok && !e.stage.vague {
			return unknown("output", names(e.stage.Outputs))
		}
	case "stage":
		s := p.stages[name]
		switch {
		case s == nil:
			return unknown("stage", names(p.stages))
		case s == e.stage:
			return wrongf(t.SourceRange(), "Stage refers to itself",
				"Stage %q can't use its own results here; "+
					"output.NAME is a file that it makes.", name)
		}
		return s.member(t)
	}
	return nil
}

// member checks what follows stage.NAME.
func (s *Stage) member(t hcl.Traversal) *hcl.Diagnostic {
	at := 2
	if len(t) > 2 {
		i, index := t[2].(hcl.TraverseIndex)
		switch number := index && i.Key.Type() == cty.Number; {
		case s.ForEach && !index:
			return wrongf(t.SourceRange(), "Missing index",
				"Stage %q runs once for each element of its "+
					"for_each: write stage.%s[0] for the first, stage.%s[*] for all.", s.Name,
				s.Name,
				s.Name)
		case !s.ForEach && number:
			return wrongf(t.SourceRange(), "One of one",
				"Stage %q has no for_each and runs once: write stage.%s.NAME.",
				s.Name, s.Name)
		case s.ForEach:
			at = 3
		}
	}
	return s.attribute(t, at, t.SourceRange())
}

// element checks what an expression uses of an element of stage.NAME: stage.pm7[*].hof,
// stage.pm7[i].hof, or run.hof for run in stage.pm7.
func (p *Pipeline) element(list hclsyntax.Expression, of hcl.Traversal,
	rng hcl.Range) *hcl.Diagnostic {
	src, ok := list.(*hclsyntax.ScopeTraversalExpr)
	if !ok || src.Traversal.RootName() != "stage" || len(src.Traversal) != 2 {
		return nil
	}
	name, _ := attrAt(src.Traversal, 1)
	if s := p.stages[name]; s != nil && s.ForEach {
		return s.attribute(of, 0, rng)
	}
	return nil
}

// attribute checks the name of an output or a value at a place of a traversal.
func (s *Stage) attribute(t hcl.Traversal, at int, rng hcl.Range) *hcl.Diagnostic {
	name, ok := attrAt(t, at)
	if !ok {
		return nil
	}
	if known := s.members(); known != nil && !slices.Contains(known, name) {
		return wrongf(rng, "Unknown output or value", "Stage %q has no output or value %q.%s",
			s.Name, name, didYouMean(name, known))
	}
	return nil
}

// members are the names that may follow stage.NAME, nil where they are not known before the stage
// has run.
func (s *Stage) members() []string {
	if s.vague || !s.valueType.IsObjectType() {
		return nil
	}
	return slices.Sorted(slices.Values(slices.Concat(names(s.Outputs),
		names(s.valueType.AttributeTypes()),
		[]string{"status", "seconds"})))
}

func attrAt(t hcl.Traversal, i int) (string, bool) {
	if i >= len(t) {
		return "", false
	}
	switch a := t[i].(type) {
	case hcl.TraverseAttr:
		return a.Name, true
	case hcl.TraverseIndex:
		if a.Key.IsKnown() && !a.Key.IsNull() && a.Key.Type() == cty.String {
			return a.Key.AsString(), true
		}
	}
	return "", false
}
