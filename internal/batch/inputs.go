package batch

import (
	"fmt"

	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// changedInput tells of an input that is not any more what the target's fingerprint says: the program gets the path of the very artefact, and wrote to it,
// or someone else did meanwhile. What came out can't be recorded as made from that input; "" is none.
func changedInput(task *pipeline.Task) string {
	for _, in := range task.Inputs {
		if !store.SameContent(in.Path, in.SHA256) {
			return fmt.Sprintf("its input file %s was changed while it ran; let the command work on a copy (the next batch makes that file anew)", shown(in.Path))
		}
	}
	return ""
}

// sound says whether all files of a molecule are the recorded ones. A program may have written to files of earlier stages, or a person; the index must not
// take what they left for verified.
func (b *Batch) sound(v *visit) bool {
	for target, rec := range v.man.Targets {
		if rec.Outcome == store.OK && b.Store.Verify(v.id, target, rec) != "" {
			return false
		}
	}
	return true
}
