package stages

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// runMerge makes one ensemble of those of two searches: the fast one's and CREST's. Both are by
// GFN2-xTB, but optimised to different criteria, so that the lower ones are optimised once more, to
// the same. Conformers of the second that are another molecule are left out; the account names
// them.
func runMerge(ctx context.Context, w Work) error {
	e, members, err := readEnsemble(w, mergeForm)
	if err != nil {
		return err
	}
	others, err := Ensemble(w.path(w.Args[1]))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(members, func(x *member) bool { return x.Energy == nil }) {
		return fmt.Errorf("%s: a conformer has no energy in its comment", w.Args[0])
	}
	byEnergy(members)
	if e.isomer != "" {
		members = slices.DeleteFunc(members, func(x *member) bool { return x.isomer != e.isomer })
	}
	if len(members) == 0 {
		return fmt.Errorf("%s: no conformer is of the isomer %s", w.Args[0], e.isomer)
	}
	fmt.Fprintf(w.Log, "members 1 to %d are of %s, the others of %s\n", len(members), w.Args[0],
		w.Args[1])
	reference := members[0].Frame
	for i, f := range others {
		x := &member{Frame: f, start: reference, number: len(members) + 1,
			isomer: members[0].isomer}
		members = append(members, x)
		if x.Energy == nil { // CREST 2.12 on one and two atoms
			x.Energy = reference.Energy
		}
		if x.dropped, err = e.changed(x, "is another molecule"); err != nil {
			return fmt.Errorf("%s: geometry %d does not fit the molecule: %w", w.Args[1], i+1, err)
		}
	}
	return e.refine(ctx, members, e.distinct(undropped(members), e.levels[0].same, math.Inf(1)))
}
