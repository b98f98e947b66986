package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// item is an attribute or a kind of block that a block may have, and what reads it: the one place
// that names it. The error of an attribute says what it must be.
type item struct {
	name  string
	label bool // of a block: it has a name
	attr  func(*hcl.Attribute) error
	block func(*hcl.Block) // nil of an attribute
}

// readBody reads a body that has these items and no others, in the order of the items.
func (p *Pipeline) readBody(body hcl.Body, items ...item) hcl.Attributes {
	schema := &hcl.BodySchema{}
	p.respell(body.(*hclsyntax.Body), items)
	for _, it := range items {
		if it.block == nil {
			schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: it.name})
			continue
		}
		block := hcl.BlockHeaderSchema{Type: it.name}
		if it.label {
			block.LabelNames = []string{"name"}
		}
		schema.Blocks = append(schema.Blocks, block)
	}
	content, diags := body.Content(schema)
	p.add(diags)
	for _, it := range items {
		if a := content.Attributes[it.name]; a != nil {
			p.refuse(a.Expr.Range(), "Invalid "+a.Name, it.attr(a))
		}
		for _, b := range content.Blocks.OfType(it.name) {
			it.block(b)
		}
	}
	return content.Attributes
}

// foreign are attributes of Terraform, Nextflow and Snakemake, and what stands for them here.
var foreign = map[string]string{
	"when":       "Did you mean \"enabled\"?",
	"count":      "Write for_each = range(3) for three targets.",
	"depends_on": "A reference such as stage.NAME.output is the dependency.",
	"retries":    "The pipeline block has max_reruns.",
}

// respell refuses unknown names, and goes on with those that were meant: what is misspelt is there.
func (p *Pipeline) respell(body *hclsyntax.Body, items []item) {
	var known []string
	blocks := map[string]bool{}
	for _, it := range items {
		known = append(known, it.name)
		blocks[it.name] = it.block != nil
	}
	meant := func(name, noun string, rng hcl.Range, block bool) string {
		if slices.Contains(known, name) {
			return name
		}
		hint := didYouMean(name, known)
		if here := foreign[name]; here != "" {
			hint = " " + here
		}
		p.wrong(rng, "Unknown "+noun, "Nothing is called %q here.%s", name, hint)
		best := Nearest(name, known, 2)
		if blocks[best] != block {
			return ""
		}
		return best
	}
	for _, a := range slices.Collect(maps.Values(body.Attributes)) {
		name := meant(a.Name, "attribute", a.NameRange, false)
		if name == a.Name {
			continue
		}
		delete(body.Attributes, a.Name)
		if a.Name = name; name != "" && body.Attributes[name] == nil {
			body.Attributes[name] = a
		}
	}
	body.Blocks = slices.DeleteFunc(body.Blocks, func(b *hclsyntax.Block) bool {
		b.Type = meant(b.Type, "block", b.TypeRange, true)
		return b.Type == ""
	})
}

// notExtended are the attributes that say whether and how often a stage runs, not how.
var notExtended = []string{"extends", "title", "enabled", "optional", "for_each", "at_least"}

// extend gives a stage the attributes and blocks of the stage that it extends. What it has of the
// same name stays its own.
func (p *Pipeline) extend(b *hcl.Block) {
	body := b.Body.(*hclsyntax.Body)
	extends := body.Attributes["extends"]
	if extends == nil {
		return
	}
	stages := map[string]*hclsyntax.Body{}
	for _, o := range p.texts[p.Path].Body.(*hclsyntax.Body).Blocks {
		if o.Type == b.Type && len(o.Labels) == 1 && o.Labels[0] != b.Labels[0] {
			stages[o.Labels[0]] = o.Body
		}
	}
	v, _ := literal(extends.Expr)
	name, ok := as[string](v)
	rng := extends.Expr.Range()
	if !ok || !find(p, rng, "other stage", name, stages) {
		return
	}
	if stages[name].Attributes["extends"] != nil {
		p.wrong(rng, "Unsuitable extends", "Stage %q extends a stage itself. Extend that one.",
			name)
		return
	}
	for attr, a := range stages[name].Attributes {
		if body.Attributes[attr] == nil && !slices.Contains(notExtended, attr) {
			body.Attributes[attr] = a
		}
	}
	for _, other := range stages[name].Blocks {
		same := func(own *hclsyntax.Block) bool {
			return own.Type == "file" && slices.Equal(own.Labels, other.Labels)
		}
		if !slices.ContainsFunc(body.Blocks, same) {
			body.Blocks = append(body.Blocks, other)
		}
	}
}

// anyNames reads a body whose attributes have names of the user's own, in the order of the file.
func (p *Pipeline) anyNames(body hcl.Body, read func(*hcl.Attribute)) {
	attrs, diags := body.JustAttributes()
	p.add(diags)
	for _, a := range inOrder(attrs) {
		read(a)
	}
}

// constant is an attribute with a plain value, which uses no names. The value must be of Go's type
// T, and take must accept it, if there is one. The text form says what the value must be. A nil
// into leaves it to take.
func constant[T any](name string, into *T, form string, take func(T) bool) item {
	return item{name: name, attr: func(a *hcl.Attribute) error {
		v, diags := literal(a.Expr)
		if diags.HasErrors() {
			return diags
		}
		return known(form, func(value T) bool {
			ok := take == nil || take(value)
			if ok && into != nil {
				*into = value
			}
			return ok
		})(v)
	}}
}

// known accepts a value of Go's type T that is known before any molecule is, if take takes it; form
// says what it must be.
func known[T any](form string, take func(T) bool) func(cty.Value) error {
	return func(v cty.Value) error {
		if value, ok := as[T](v); !ok || !take(value) {
			return errors.New(form)
		}
		return nil
	}
}

// literal is the value of an expression that may name nothing.
func literal(e hcl.Expression) (cty.Value, hcl.Diagnostics) {
	named := e.Variables()
	if len(named) == 0 {
		return e.Value(nil)
	}
	hint := "A text stands in quotes; what is computed can't stand here."
	if word := plainWord(named[0].RootName()); word != "" {
		hint = fmt.Sprintf("Did you mean %s?", word)
	}
	return cty.DynamicVal, hcl.Diagnostics{wrongf(named[0].SourceRange(), "Not a constant",
		"A plain value stands here, such as true, 3 or \"text\". %s", hint)}
}

func text(name string, into *string) item {
	return constant(name, into, name+" is a text.", nil)
}

func whole[N int | int64](name string, into *N, what string, least, most N) item {
	form := fmt.Sprintf("%s is %s: a whole number from %d to %d.", name, what, least, most)
	return constant(name, into, form, within(least, most))
}

func oneWord(name string, into *string, words ...string) item {
	form := fmt.Sprintf(`%s must be "%s".`, name, strings.Join(words, `" or "`))
	known := func(word string) bool { return slices.Contains(words, word) }
	return constant(name, into, form, known)
}

func percentage(name string, into *float64) item {
	form := name + ` must be a percentage such as "5%", above 0% and at most 100%.`
	return constant(name, nil, form, func(text string) bool {
		digits, ok := strings.CutSuffix(text, "%")
		n, err := strconv.ParseFloat(digits, 64)
		if ok = ok && err == nil && n > 0 && n <= 100; ok {
			*into = n / 100
		}
		return ok
	})
}

// patterns are names of files in the stage's own folder, with * and ? for others' letters.
func patterns(name string, into *[]string) item {
	form := name + " is a list of names of files in the stage's own folder: * stands for any " +
		"letters, ? for one, [abc] for one of these."
	return constant(name, into, form, each(func(name string) bool {
		_, err := path.Match(name, "")
		return err == nil && scratchName(name) == ""
	}))
}

func within[N int | int64](least, most N) func(N) bool {
	return func(n N) bool { return n >= least && n <= most }
}

// each holds where something holds of every element.
func each[T any](valid func(T) bool) func([]T) bool {
	return func(list []T) bool {
		return !slices.ContainsFunc(list, func(e T) bool { return !valid(e) })
	}
}
