package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// EnvPrefix begins the environment variables that set a pipeline's variables.
const EnvPrefix = "GRIMPERIUM_VAR_"

// Variable is a variable block and the value that it has in this run.
type Variable struct {
	Name, Description string
	Source            string // where the value comes from

	value  cty.Value
	oneOf  []string // the texts that it may have; nil: any
	want   cty.Type // dynamic where none is declared
	bad    bool     // what it was given last is no value for it
	checks []*expression
	rng    hcl.Range
}

// Text is the value for a person: a text as it is, a number as a cell has it, else JSON.
func (v *Variable) Text() string {
	if v.value.Type().IsPrimitiveType() && !v.value.IsNull() {
		if text, err := cellText(v.value); err == nil {
			return text
		}
	}
	data, _ := toJSON(v.value) // has been checked
	return string(data)
}

func (p *Pipeline) decodeVariable(b *hcl.Block) {
	v := &Variable{Name: b.Labels[0], rng: b.DefRange, want: cty.DynamicPseudoType,
		value: cty.DynamicVal}
	p.variables[v.Name] = v
	p.Variables = append(p.Variables, v)
	in := scope{what: "a validation", roots: varRoot, into: &p.ofVariables}
	before := len(p.mistakes)
	p.readBody(b.Body, text("description", &v.Description),
		item{name: "type", attr: func(a *hcl.Attribute) error {
			t, diags := typeexpr.TypeConstraint(a.Expr)
			if !diags.HasErrors() {
				v.want = t
			}
			return diags
		}},
		item{name: "default", attr: func(a *hcl.Attribute) error {
			v.bad = !p.setDefault(v, a.Expr)
			return nil
		}},
		constant("one_of", &v.oneOf, "one_of is a list of texts. The first is the default.",
			func(texts []string) bool { return len(texts) > 0 }),
		p.conditions(in, "validation", &v.checks), in.requirement(&v.checks))
	if v.oneOf != nil && v.Source == "" {
		v.value, v.Source = cty.StringVal(v.oneOf[0]), "default"
	}
	v.bad = v.bad || len(p.mistakes) > before // its default may be misspelt
}

func (p *Pipeline) setDefault(v *Variable, e hcl.Expression) bool {
	value, diags := literal(e)
	if !p.add(diags) {
		return false
	}
	c, err := convertTo(value, v.want)
	if err != nil {
		return p.wrong(e.Range(), "Unsuitable default", "The default of %q is not of its type: %s.",
			v.Name, err)
	}
	v.value, v.Source = c, "default"
	return true
}

// setVariables takes default, environment, file of values and -set; the last one wins.
func (p *Pipeline) setVariables(o Options) {
	for _, kv := range o.Environ {
		name, text, _ := strings.Cut(kv, "=")
		name, ours := strings.CutPrefix(name, EnvPrefix)
		// Another pipeline's variable may be set for the whole shell.
		if v := p.variables[name]; ours && v != nil {
			p.setText(v, text, EnvPrefix+name)
		}
	}
	if o.VarFile != "" {
		p.readVarFile(o.VarFile)
	}
	if strings.TrimSpace(o.Set) != "" && !p.readSet(o.Set) {
		p.wrongOption("Unreadable -set", "-set=%q can't be read. Write -set='name=value, "+
			"name=\"a text\"'%s.", o.Set, insteadOfColon(o.Set))
	}
	for _, v := range p.Variables {
		if v.Source == "" && !v.bad {
			p.wrong(v.rng, "Variable without a value", "The variable %q has no default; give it "+
				"a value with -set='%[1]s=...'.", v.Name)
		}
		if v.Source == "" || v.bad {
			v.value = cty.DynamicVal // its own mistake is reported
		} else if _, err := toJSON(v.value); err != nil {
			p.wrong(v.rng, "Unsuitable value for a variable", "The variable %q (from %s): %s",
				v.Name, v.Source, sentence(err.Error()))
		}
	}
}

// setText reads a list or an object as HCL, and everything else as the text that it is.
func (p *Pipeline) setText(v *Variable, text, source string) {
	if t := v.value.Type(); v.want.IsPrimitiveType() ||
		v.want == cty.DynamicPseudoType && !isList(t) && !isObject(t) {
		p.set(v, cty.StringVal(text), source)
	} else if e, diags := p.parseExpression(text, "<"+source+">"); p.add(diags) {
		p.assign(v.Name, e, source)
	}
}

func (p *Pipeline) parseExpression(text, name string) (hclsyntax.Expression, hcl.Diagnostics) {
	p.texts[name] = &hcl.File{Bytes: []byte(text)}
	return parsed([]byte(text), name, hclsyntax.LexExpression, hclsyntax.ParseExpression)
}

func (p *Pipeline) readVarFile(name string) {
	src, err := readBounded(name, maxPipelineSize)
	if err != nil {
		p.wrongOption("Unreadable file of values", "-varFile=%s can't be read: %s. It must be a "+
			"text file of lines like name = value.", name,
			strings.TrimPrefix(err.Error(), name+": "))
	} else if file := p.parse(name, plainText(src)); file != nil {
		p.anyNames(file.Body, func(a *hcl.Attribute) { p.assign(a.Name, a.Expr, "-varFile="+name) })
	}
}

// readSet reads "a=1, b=word, c=\"text\"", and reports whether it has that form.
func (p *Pipeline) readSet(set string) bool {
	text := "{" + set + "}"
	e, diags := p.parseExpression(text, "<value of -set>")
	if len(diags) == 1 && diags[0].Summary == "Nesting too deep" {
		return !p.add(diags)
	}
	obj, ok := e.(*hclsyntax.ObjectConsExpr)
	for i := 0; ok && !diags.HasErrors() && i < len(obj.Items); i++ {
		key, value := obj.Items[i].KeyExpr, obj.Items[i].ValueExpr
		between := text[key.Range().End.Byte:value.Range().Start.Byte]
		if ok = hcl.ExprAsKeyword(key) != "" && strings.Contains(between, "="); ok {
			p.assign(hcl.ExprAsKeyword(key), value, "-set")
		}
	}
	return ok && !diags.HasErrors()
}

// assign gives a variable the value of an expression; a bare word is a text.
func (p *Pipeline) assign(name string, e hcl.Expression, source string) {
	v, known := p.variables[name]
	value, diags := literal(e)
	if word := hcl.ExprAsKeyword(e); diags.HasErrors() && word != "" {
		value, diags = cty.StringVal(word), nil
	}
	if !known {
		p.wrongOption("Value for an undeclared variable", "%s sets %q, but no variable of that "+
			"name is declared.%s", source, name, didYouMean(name, names(p.variables)))
	} else if source == "-set" && v.Source == source {
		p.wrongOption("Variable set twice", "-set gives %q two values.", name)
	} else if source == "-set" && diags.HasErrors() {
		p.wrongOption("Unreadable -set", "-set gives %q no plain value. A text stands in quotes: "+
			"-set='%[1]s=\"...\"'.", name)
	} else if p.add(diags) {
		p.set(v, value, source)
	}
}

// set gives a variable a value of its type, or where it has none of its default's.
func (p *Pipeline) set(v *Variable, value cty.Value, source string) {
	want, t := v.want, v.value.Type()
	if want == cty.DynamicPseudoType && v.Source != "" && t.IsPrimitiveType() {
		want = t
	}
	c, err := convertTo(value, want)
	if of := c.Type(); err == nil && v.want == cty.DynamicPseudoType && !c.IsNull() &&
		(isList(t) && !isList(of) || isObject(t) && !isObject(of)) {
		err = fmt.Errorf("%s is needed here, not %s", aType(t), aType(of))
	}
	if v.bad = err != nil; v.bad {
		p.wrongOption("Unsuitable value for a variable", "%s sets the variable %q to a value of "+
			"another type: %s.", source, v.Name, err)
		return
	}
	v.value, v.Source = c, source
}

// checkVariables says what the file's own conditions refuse.
func (p *Pipeline) checkVariables() {
	m := p.unknownMolecule()
	for _, v := range p.Variables {
		text, ok := as[string](v.value)
		if ok && v.oneOf != nil && !slices.Contains(v.oneOf, text) {
			p.invalid(v, v.rng,
				fmt.Errorf("%q is not one of %s", text, strings.Join(v.oneOf, ", ")))
		}
		for _, c := range v.checks {
			ok := p.references(c) && v.value.IsWhollyKnown()
			if c.message != nil && !p.references(c.message) || !ok {
				continue
			}
			err := (&evaluation{Molecule: m}).hold(c)
			if at, ok := errors.AsType[*EvalError](err); ok {
				err = at.Err // the message has the place
			}
			p.invalid(v, c.at, err)
		}
	}
}

// invalid notes what is wrong with a variable's value, by what stands at a place.
func (p *Pipeline) invalid(v *Variable, at hcl.Range, err error) {
	switch {
	case err == nil:
	case v.Source != "default":
		p.wrongOption("Invalid value for a variable", "%s sets the variable %q to a value that "+
			"%s line %d refuses: %s", v.Source, v.Name, p.Path, at.Start.Line,
			sentence(err.Error()))
	default:
		p.wrong(at, "Invalid value for a variable", "The variable %q (from %s): %s", v.Name,
			v.Source, sentence(err.Error()))
	}
}

// insteadOfColon is how a variable is set by -set where somebody wrote name:value, or "".
func insteadOfColon(set string) string {
	name, value, found := strings.Cut(set, ":")
	if name = strings.TrimSpace(name); !found || !hclsyntax.ValidIdentifier(name) {
		return ""
	}
	return fmt.Sprintf(", here -set=%s=%s", name, strings.TrimSpace(value))
}
