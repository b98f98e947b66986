package pipeline

import "testing"

// BenchmarkEvaluate is what a molecule that is up to date costs after an edit of the pipeline. The
// pipeline has the usual five stages and three conformers. Stand-ins of the real functions read the
// files.
func BenchmarkEvaluate(b *testing.B) {
	p, err := Load(fiveStages, testOptions())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := p.Molecule(cells)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := walk(m, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad is the reading and checking of such a pipeline.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(fiveStages, testOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
