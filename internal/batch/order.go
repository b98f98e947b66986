package batch

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"grimperium/internal/journal"
	"grimperium/internal/store"
)

const (
	mostSizes  = 1000    // different ones, in the journal's line about the batch
	pastBytes  = 1 << 20 // of the journal, to learn from
	windowEach = 8       // molecules for each job, at the end of the batch, of which the longest are taken first
)

// measure notes how large a scheduled molecule is. Two digits are enough, and make few sizes of many molecules.
func (b *Batch) measure(id string, size []float64) {
	if size == nil {
		return
	}
	if b.sizes == nil {
		b.sizes = map[string][]float64{}
	}
	b.sizes[id] = rounded(size, 2)
}

func rounded(size []float64, digits int) []float64 {
	out := make([]float64, len(size))
	for i, x := range size {
		out[i], _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64)
	}
	return out
}

// histogram counts the molecules of each size as journal.Event.Sizes has them, by one digit where two make too many.
func (b *Batch) histogram(todo []string) [][]float64 {
	var out [][]float64
	for digits := 2; digits == 2 || (digits == 1 && len(out) > mostSizes); digits-- {
		if digits == 1 {
			for id, size := range b.sizes {
				b.sizes[id] = rounded(size, 1)
			}
		}
		sorted := make([][]float64, len(todo))
		for i, id := range todo {
			sorted[i] = b.sizes[id]
		}
		slices.SortFunc(sorted, slices.Compare)
		out = nil
		for i, size := range sorted {
			if i == 0 || !slices.Equal(size, sorted[i-1]) {
				out = append(out, append([]float64{0}, size...))
			}
			out[len(out)-1][0]++
		}
	}
	if len(b.sizes) == 0 || len(out) > mostSizes {
		return nil
	}
	return out
}

// inOrder is the schedule: the failed molecules first.
func (b *Batch) inOrder(failed, others []string) []string {
	b.failed = len(failed)
	if b.Pipeline.SmallestFirst {
		b.smallestFirst(failed)
		b.smallestFirst(others)
	}
	return append(failed, others...)
}

// smallestFirst sorts molecules by their sizes, those of one size in the order in which they are; the ones of no known size come last.
func (b *Batch) smallestFirst(ids []string) {
	slices.SortStableFunc(ids, func(x, y string) int {
		s, t := b.sizes[x], b.sizes[y]
		return cmp.Or(cmp.Compare(min(len(t), 1), min(len(s), 1)), slices.Compare(s, t))
	})
}

// lastPart is where the end of a batch begins: from there on the longest molecules are taken first, so that none of them keeps the batch waiting when
// all others are done. Failed molecules stay in front.
func (b *Batch) lastPart(todo []string) int {
	from := len(todo) - windowEach*b.jobs()
	if b.failed < len(todo) {
		from = max(from, b.failed)
	}
	if b.jobs() == 1 || len(b.sizes) == 0 || len(todo) <= b.jobs() {
		return -1
	}
	return max(from, 0)
}

// longestFirst sorts molecules by how long they will take, as far as the journal tells.
func (b *Batch) longestFirst(ids []string) {
	forecast := journal.OpenAtEnd(b.Store.Path(store.JournalName)).Past(pastBytes)
	expected := make(map[string]time.Duration, len(ids))
	for _, id := range ids {
		expected[id] = forecast.Molecule(b.sizes[id])
	}
	slices.SortStableFunc(ids, func(x, y string) int { return cmp.Compare(expected[y], expected[x]) })
}
