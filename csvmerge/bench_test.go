package csvmerge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bigTable returns a table of format v2.1 without results.
func bigTable(rows int) string {
	var b strings.Builder
	b.WriteString("mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added," +
		"H298_cbs,batch_id," + v21 + "\n")
	for i := range rows {
		fmt.Fprintf(&b,
			"mol_%07d,Pending,0,CC(C)OC(=O)N,1,0,7,2026-11-23T00:00:00+00:00,-17.545,,,,,,,,,,,,,\n", i)
	}
	return b.String()
}

var sizes = []int{1_000, 30_000, 100_000}

// BenchmarkMerge finishes one molecule: its row is changed and the table replaced on the disk.
func BenchmarkMerge(b *testing.B) {
	for _, rows := range sizes {
		b.Run(itoa(rows), func(b *testing.B) {
			table := mustRead(b, place(b, bigTable(rows)))
			b.SetBytes(int64(len(bytesOf(table))))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				id := fmt.Sprintf("mol_%07d", n*7919%rows)
				written, err := merge(table, []Change{{ID: id, Cells: map[string]string{
					"status": "OK", "delta_1": itoa(n), "crest_time": "12.5",
					"error_message": ""}}})
				if !written || err != nil {
					b.Fatal(written, err)
				}
			}
		})
	}
}

// BenchmarkWriteSync writes and syncs as many bytes: what BenchmarkMerge can't do without.
func BenchmarkWriteSync(b *testing.B) {
	for _, rows := range sizes {
		b.Run(itoa(rows), func(b *testing.B) {
			data := []byte(bigTable(rows))
			path := filepath.Join(b.TempDir(), "t.csv")
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f, err := os.Create(path)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Write(data); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	path := place(b, bigTable(100_000))
	b.SetBytes(int64(len(content(b, path))))
	b.ReportAllocs()
	for b.Loop() {
		mustRead(b, path)
	}
}

func BenchmarkCheck(b *testing.B) {
	table := mustParse(b, bigTable(100_000))
	b.ReportAllocs()
	for b.Loop() {
		if found := table.Check(); len(found) != 0 {
			b.Fatal(found)
		}
	}
}
