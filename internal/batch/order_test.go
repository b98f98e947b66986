package batch

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"grimperium/internal/pipeline"
)

func TestHistogram(t *testing.T) {
	b := &Batch{}
	if got := b.histogram([]string{"a"}); got != nil {
		t.Errorf("without sizes: %v", got)
	}
	b.measure("a", []float64{12.49, 0})
	b.measure("b", nil)
	b.measure("c", []float64{12, 0})
	b.measure("d", []float64{3, 0.0317})
	b.measure("not scheduled", []float64{7, 7})
	if got, want := b.histogram([]string{"a", "b", "c", "d"}), [][]float64{{1}, {1, 3, 0.032}, {2, 12, 0}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var todo []string
	for i := range 90 * 90 { // too many by two digits
		todo = append(todo, fmt.Sprint(i))
		b.measure(todo[i], []float64{float64(10 + i%90), float64(10 + i/90)})
	}
	got, n := b.histogram(todo), 0.0
	for _, size := range got {
		n += size[0]
	}
	if len(got) != 100 || n != 8100 || !slices.Equal(b.sizes["0"], []float64{10, 10}) || !slices.Equal(b.sizes["89"], []float64{100, 10}) {
		t.Errorf("%d sizes of %g molecules, %v", len(got), n, b.sizes["89"])
	}
	for i := range todo {
		b.measure(todo[i], []float64{1, float64(i), float64(i) / 7, float64(i * i)})
	}
	if got := b.histogram(todo); len(got) > mostSizes {
		t.Errorf("%d sizes", len(got))
	}
}

func TestSmallestFirst(t *testing.T) {
	b := &Batch{sizes: map[string][]float64{"a": {3, 1}, "c": {3, 0}, "d": {1, 9}, "e": {3, 0}}}
	ids := []string{"a", "b", "c", "d", "e", "f"}
	if b.smallestFirst(ids); fmt.Sprint(ids) != "[d c e a b f]" {
		t.Error(ids)
	}
}

func TestLastPart(t *testing.T) {
	for _, test := range []struct{ scheduled, failed, jobs, want int }{
		{100, 0, 1, -1}, {100, 0, 2, 84}, {100, 90, 2, 90}, {100, 100, 2, 84}, {3, 0, 2, 0}, {2, 0, 2, -1}, {5, 2, 2, 2}, {0, 0, 4, -1}, {10, 50, 2, 0},
	} {
		b := &Batch{Config: Config{Pipeline: &pipeline.Pipeline{Jobs: test.jobs}}, failed: test.failed, sizes: map[string][]float64{"a": {1}}}
		if got := b.lastPart(make([]string, test.scheduled)); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
