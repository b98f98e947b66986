package pipeline

import (
	"fmt"
	"math"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// mostSizes is how many numbers may say how large a molecule is: each of them has to be learnt.
const mostSizes = 4

// checkSize checks the molecule block's size: a list of numbers, known before anything ran.
func (p *Pipeline) checkSize(sc scope, ctx *hcl.EvalContext) hcl.Diagnostics {
	if p.size == nil {
		if p.SmallestFirst {
			return hcl.Diagnostics{wrong(p.orderRange, "Order without sizes", `"smallest_first" needs the molecule block's size, as molecule { size = [heavy_atoms(mol.smiles)] }.`)}
		}
		return nil
	}
	diags := p.references(p.size, sc)
	if diags.HasErrors() {
		return diags
	}
	v, diags := p.value(p.size, ctx)
	if diags.HasErrors() {
		return diags
	}
	if t := v.Type(); t.IsTupleType() && !v.IsNull() && t.Length() >= 1 && t.Length() <= mostSizes {
		for _, e := range t.TupleElementTypes() {
			if e != cty.Number && e != cty.DynamicPseudoType {
				return hcl.Diagnostics{wrong(p.size.Range(), "Unsuitable size", fmt.Sprintf("size has %s in it; it is made of numbers.", aType(e)))}
			}
		}
		return diags
	}
	return append(diags, wrong(p.size.Range(), "Unsuitable size", fmt.Sprintf("size is a list of 1 to %d numbers, like [heavy_atoms(mol.smiles), rotatable_bonds(mol.smiles)].", mostSizes)))
}

// Size is how large the pipeline says that the molecule is: the numbers by which it takes its time. It is nil where one of them is not known, as for no molecule.
func (m *Molecule) Size() []float64 {
	if m == nil || m.p.size == nil {
		return nil
	}
	v, err := m.value(m.p.size, nil, cty.DynamicPseudoType)
	if err != nil || !v.CanIterateElements() {
		return nil
	}
	var out []float64
	for _, e := range v.AsValueSlice() {
		if e.IsNull() || e.Type() != cty.Number {
			return nil
		}
		x := toFloat(e)
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return nil
		}
		out = append(out, x)
	}
	return out
}
