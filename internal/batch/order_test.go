package batch

import (
	"fmt"
	"testing"

	"grimperium/internal/pipeline"
)

func TestOrder(t *testing.T) {
	sizes := map[string][]float64{"a": {3, 1}, "c": {3, 0}, "d": {1, 9}, "e": {3, 0}}
	for _, test := range []struct {
		failed, others []string
		smallestFirst  bool
		jobs           int
		want           string
	}{
		{nil, []string{"a", "b", "c", "d", "e", "f"}, true, 1, "[d c e a b f]"},
		{[]string{"f"}, []string{"a", "b", "c", "d"}, false, 1, "[f a b c d]"},
		{[]string{"f", "a"}, []string{"b", "c", "d", "e"}, false, 2, "[f a c e d b]"},
		{nil, []string{"d", "a"}, false, 2, "[d a]"}, // all are under way at once
		{nil, nil, false, 4, "[]"},
	} {
		p := &pipeline.Pipeline{SmallestFirst: test.smallestFirst, Jobs: test.jobs}
		b := &Batch{Config: Config{Pipeline: p}, now: append(test.failed, test.others...),
			sizes: sizes}
		b.order(len(test.failed))
		if fmt.Sprint(b.now) != test.want {
			t.Errorf("%+v: %v", test, b.now)
		}
	}
}
