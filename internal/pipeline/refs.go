package pipeline

import (
	"fmt"
	"maps"
	"regexp"
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
	least := min(2*most+2, 2*len(name)) // as many letters as it has make any name
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

// unknown notes that a name is none of the known ones, and is false.
func (p *Pipeline) unknown(rng hcl.Range, noun, name string, known []string) bool {
	where := "There is no"
	if noun == "column" {
		where = "The table has no"
	}
	return p.wrong(rng, "Unknown "+noun, "%s %s %q.%s", where, noun, name, didYouMean(name, known))
}

// find reports whether there is a name, and notes that there is none.
func find[V any](p *Pipeline, rng hcl.Range, noun, name string, in map[string]V) bool {
	_, ok := in[name]
	return ok || p.unknown(rng, noun, name, names(in))
}

// attributes refuses a name that the type has not, in each object that is written out as a value of
// the type. cty would leave the name out.
func (p *Pipeline) attributes(of hcl.Expression, want cty.Type) {
	switch x := of.(type) {
	case *hclsyntax.ParenthesesExpr:
		p.attributes(x.Expression, want)
	case *hclsyntax.ConditionalExpr:
		p.attributes(x.TrueResult, want)
		p.attributes(x.FalseResult, want)
	case *hclsyntax.FunctionCallExpr: // those that give an argument, or lists and objects of them
		if slices.Contains([]string{"coalesce", "concat", "merge", "try"}, x.Name) {
			for _, arg := range x.Args {
				p.attributes(arg, want)
			}
		}
	case *hclsyntax.ForExpr:
		if want.IsListType() {
			p.attributes(x.ValExpr, want.ElementType())
		}
	case *hclsyntax.TupleConsExpr:
		for _, element := range x.Exprs {
			if want.IsListType() {
				p.attributes(element, want.ElementType())
			}
		}
	case *hclsyntax.ObjectConsExpr:
		for _, item := range x.Items {
			key, _ := item.KeyExpr.Value(nil)
			name, ok := as[string](key)
			if ok && want.IsObjectType() &&
				find(p, item.KeyExpr.Range(), "attribute", name, want.AttributeTypes()) {
				p.attributes(item.ValueExpr, want.AttributeType(name))
			}
		}
	}
}

// rootNames are what an expression may begin with.
var rootNames = map[string]roots{"var": varRoot, "local": localRoot, "mol": molRoot,
	"stage": stageRoot, "each": eachRoot, "attempt": attemptRoot, "salvaged": attemptRoot,
	"output": outputRoot}

// references checks every name in an expression: what HCL says of an unknown one helps nobody.
func (p *Pipeline) references(e *expression) bool {
	before := len(p.mistakes)
	for _, t := range e.Variables() {
		p.reference(e, t)
	}
	visit(e.Expression, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.FunctionCallExpr:
			find(p, x.NameRange, "function", x.Name, p.functions)
			p.ignoring(e, x)
			p.perMolecule(e, x)
			if x.Name == equalName {
				p.compared(x.Args[0], x.Args[1], x.NameRange)
				p.compared(x.Args[1], x.Args[0], x.NameRange)
			}
		case *hclsyntax.LiteralValueExpr:
			p.unquoted(e, x)
		case *hclsyntax.SplatExpr:
			if each, ok := x.Each.(*hclsyntax.RelativeTraversalExpr); ok {
				p.element(x.Source, each.Traversal, x.Range())
			}
		case *hclsyntax.RelativeTraversalExpr:
			if index, ok := x.Source.(*hclsyntax.IndexExpr); ok {
				p.element(index.Collection, x.Traversal, x.Range())
			}
		case *hclsyntax.ForExpr:
			p.elements(x)
		}
	})
	return len(p.mistakes) == before
}

// passing are the functions that hand a text on as it is, so that it stays marked. To format, the
// marks would be a part of the width.
var passing = []string{ignoreName, textName, listName, templateName, "concat", "join", "flatten",
	"coalesce", "merge", "try"}

// ignoring refuses ignore_changes where it could decide a result.
func (p *Pipeline) ignoring(e *expression, f *hclsyntax.FunctionCallExpr) {
	if f.Name == ignoreName && e.roots&mayIgnore == 0 {
		p.wrong(f.NameRange, "Function out of place", ignoreName+" can stand in command, env and "+
			"the content of a file only.")
	}
	for i := 0; i < len(f.Args) && !slices.Contains(passing, f.Name); i++ {
		visit(f.Args[i], func(n hclsyntax.Node) {
			if x, ok := n.(*hclsyntax.FunctionCallExpr); ok && x.Name == ignoreName {
				p.wrong(x.NameRange, "Function out of place", ignoreName+" gives a word, or a "+
					"part of a text. It can't be compared, or handed to a function that reads it. "+
					"Write it around the function, as in ignore_changes(format(...)).")
			}
		})
	}
}

// bareName is a name in a text where ${...} is missing or has lost a part. Its last form is a name
// in braces, which may be a script's own in the content of a file.
var bareName = func() *regexp.Regexp {
	const name = `(mol|var|local|stage|each)\.([a-zA-Z][\w-]*)`
	return regexp.MustCompile(`^` + name + `$|\$\(?` + name + `|(?:^|[^$%])\{` + name + `\}`)
}()

// unquoted refuses a text in which a name stands as for a value, without ${...} around it.
func (p *Pipeline) unquoted(e *expression, text *hclsyntax.LiteralValueExpr) {
	if text.Val.Type() != cty.String {
		return
	}
	for _, m := range bareName.FindAllStringSubmatch(text.Val.AsString(), -1) {
		root, name := m[1]+m[3]+m[5], m[2]+m[4]+m[6]
		_, column := p.columns[name]
		if m[5] != "" && e.name == "content" {
			continue
		}
		if p.variables[name] != nil && root == "var" || p.locals[name] != nil && root == "local" ||
			p.stages[name] != nil && root == "stage" || column && root == "mol" ||
			root == "each" && (name == "key" || name == "value") {
			p.wrong(text.SrcRange, "Name in a text", "The text has the letters %s.%s, and not "+
				"the value. Write ${%[1]s.%[2]s} in a text, or %[1]s.%[2]s without quotes.",
				root, name)
		}
	}
}

// compared refuses a text that never equals what it is compared with.
func (p *Pipeline) compared(text, with hclsyntax.Expression, rng hcl.Range) {
	v, _ := text.Value(nil)
	word, ok := as[string](v)
	if !ok || v.Type() != cty.String {
		return
	}
	of, words := "A target's status is", []string{StatusOK, StatusFailed, StatusNone, StatusLeftOut}
	switch x := with.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		if x.Traversal.RootName() == "mol" && word == "" {
			p.wrong(rng, "Cell compared with an empty text",
				"An empty cell is null, which equals no text. Compare it with null.")
		}
		last, _ := attrAt(x.Traversal, len(x.Traversal)-1)
		if x.Traversal.RootName() != "stage" || last != "status" {
			return
		}
	case *hclsyntax.FunctionCallExpr:
		if x.Name != "status" || len(x.Args) == 0 {
			return
		}
		of, words = "status() gives", []string{"FAILED", "NOT_ATTEMPTED", "OK"}
		if v, diags := x.Args[len(x.Args)-1].Value(nil); !diags.HasErrors() {
			words[2], _ = as[string](v)
		}
	default:
		return
	}
	if last := len(words) - 1; !slices.Contains(words, word) {
		p.wrong(rng, "Never equal", "%s %s or %s.", of, strings.Join(words[:last], ", "),
			words[last])
	}
}

// reference checks a name and what follows it.
func (p *Pipeline) reference(e *expression, t hcl.Traversal) {
	root, rng := t.RootName(), t.SourceRange()
	bit, ok := rootNames[root]
	name, named := attrAt(t, 1)
	switch word := plainWord(root); {
	case word != "":
		p.wrong(rng, "Unknown name", "Nothing is called %q. Did you mean %s?", root, word)
	case !ok:
		p.wrong(rng, "Unknown name", "Nothing is called %q.%s Note: a text stands in quotes.", root,
			didYouMean(root, append(names(rootNames), loopNames(e)...)))
	case bit == eachRoot && e.stage != nil && !e.stage.ForEach:
		p.wrong(rng, "Name out of place",
			`"each" is an element of for_each, and stage %q has none.`, e.stage.Name)
	case bit == outputRoot && e.roots&bit == 0 && e.stage != nil:
		p.wrong(rng, "Name out of place", "output.NAME is a file that the stage has made, for "+
			"values, require and postconditions. Before that, write the file's name itself.")
	case e.roots&bit == 0:
		p.wrong(rng, "Name out of place", "%q can't be used in %s.", root, e.what)
	case bit == attemptRoot:
	case !named:
		p.wrong(rng, "Incomplete name", "%q alone names nothing; write %[1]s.NAME.", root)
	default:
		p.member(e, t, name)
	}
}

// plainWords are what some names are meant as, in small letters.
var plainWords = map[string]string{"true": "true", "yes": "true", "on": "true", "false": "false",
	"no": "false", "off": "false", "null": "null", "nil": "null", "none": "null", "nan": "null"}

func plainWord(name string) string { return plainWords[strings.ToLower(name)] }

// loopNames are the names that the for expressions of an expression give to elements.
func loopNames(e *expression) (names []string) {
	visit(e.Expression, func(n hclsyntax.Node) {
		if f, ok := n.(*hclsyntax.ForExpr); ok {
			names = append(names, f.KeyVar, f.ValVar)
		}
	})
	return slices.DeleteFunc(sorted(names), func(name string) bool { return name == "" })
}

// member checks the name that follows the first.
func (p *Pipeline) member(e *expression, t hcl.Traversal, name string) {
	rng := t.SourceRange()
	switch t.RootName() {
	case "var":
		find(p, rng, "variable", name, p.variables)
	case "mol":
		_ = p.anyColumn || find(p, rng, "column", name, p.columns)
	case "each":
		find(p, rng, "part of each", name, map[string]bool{"key": true, "value": true})
	case "output":
		_ = e.stage.vague || find(p, rng, "output", name, e.stage.Outputs)
	case "local":
		if find(p, rng, "local value", name, p.locals) {
			p.localInPlace(e, rng, name)
		}
	case "stage":
		if s := p.stages[name]; s != nil && s == e.stage {
			p.wrong(rng, "Stage refers to itself", "Stage %q can't use its own results here; "+
				"output.NAME is a file that it makes.", name)
		} else if find(p, rng, "stage", name, p.stages) {
			p.target(s, t[2:], rng)
		}
	}
}

// localInPlace checks that what a local value names may stand where it is used.
func (p *Pipeline) localInPlace(e *expression, rng hcl.Range, name string) {
	l, root, used := p.locals[name], "mol", []string(nil)
	if e.roots&molRoot == 0 {
		used = l.columns
	}
	if e.roots&stageRoot == 0 && len(used) == 0 {
		root, used = "stage", l.stages
	}
	if len(used) > 0 {
		p.wrong(rng, "Name out of place", "local.%s uses %s.%s, which can't be used in %s.", name,
			root, used[0], e.what)
	} else if e.stage != nil && slices.Contains(l.stages, e.stage.Name) {
		p.wrong(rng, "Stage refers to itself", "local.%s uses the results of stage %q, which "+
			"the stage can't use itself.", name, e.stage.Name)
	}
}

// target checks what follows stage.NAME.
func (p *Pipeline) target(s *Stage, t hcl.Traversal, rng hcl.Range) {
	if len(t) == 0 {
		return
	}
	index, indexed := t[0].(hcl.TraverseIndex)
	switch {
	case s.ForEach && !indexed:
		p.wrong(rng, "Missing index", "Stage %q runs once for each element of its for_each: "+
			"write stage.%[1]s[0] for the first, stage.%[1]s[*] for all.", s.Name)
	case s.ForEach:
		place, _ := as[int](index.Key)
		list, ok := s.each.Expression.(*hclsyntax.TupleConsExpr)
		if ok && place >= len(list.Exprs) {
			p.wrong(rng, "Index too large", "The for_each of stage %q has %d elements, and the "+
				"first is stage.%[1]s[0].", s.Name, len(list.Exprs))
		}
		p.attribute(s, t[1:], rng)
	case indexed && index.Key.Type() == cty.Number:
		p.wrong(rng, "One of one", "Stage %q has no for_each and runs once: write "+
			"stage.%[1]s.NAME.", s.Name)
	default:
		p.attribute(s, t, rng)
	}
}

// element checks what an expression uses of an element of stage.NAME: stage.pm7[*].hof,
// stage.pm7[i].hof, or run.hof for run in stage.pm7.
func (p *Pipeline) element(list hclsyntax.Expression, of hcl.Traversal, rng hcl.Range) {
	src, ok := list.(*hclsyntax.ScopeTraversalExpr)
	if !ok || src.Traversal.RootName() != "stage" || len(src.Traversal) != 2 {
		return
	}
	name, _ := attrAt(src.Traversal, 1)
	if s := p.stages[name]; s != nil && s.ForEach {
		p.attribute(s, of, rng)
	}
}

// elements checks what a for expression uses of the elements of stage.NAME.
func (p *Pipeline) elements(x *hclsyntax.ForExpr) {
	list, counted := x.CollExpr.(*hclsyntax.FunctionCallExpr)
	for _, of := range []hclsyntax.Expression{x.KeyExpr, x.ValExpr, x.CondExpr} {
		if of == nil || !counted {
			continue
		}
		for _, t := range of.Variables() { // without those of a for expression in this one
			if t.RootName() == x.ValVar {
				p.element(list.Args[0], t[1:], t.SourceRange())
			}
		}
	}
}

// attribute checks the name of an output or a value, where the names are known before a run.
func (p *Pipeline) attribute(s *Stage, t hcl.Traversal, rng hcl.Range) {
	name, ok := attrAt(t, 0)
	if of := s.resultType(); ok && !s.vague && of.IsObjectType() && !of.HasAttribute(name) {
		p.wrong(rng, "Unknown output or value", "Stage %q has no output or value %q.%s", s.Name,
			name, didYouMean(name, names(of.AttributeTypes())))
	}
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
