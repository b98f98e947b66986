package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"grimperium/internal/pipeline"
)

func exported(t *testing.T, format, table string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := exportTo(&out, io.Discard, format, &pipeline.Pipeline{Table: path, Artefacts: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExportRows(t *testing.T) {
	const table = "\ufeffmol_id,smiles,status,charge,H298_cbs,delta_1,tpsa,cas,note,note,zip\r\n" +
		"a,\"C,<N>\",complete,+1,1.50,0.0,20.23,64-17-5,1,\"say \"\"hi\"\"\nthere\",007\r\n\r\n" +
		"b,CC,,,nan,-1e-3,,?,2\r\n"
	for format, want := range map[string]string{
		"json": `[
{"mol_id":"a","smiles":"C,<N>","status":"OK","charge":1,"H298_cbs":1.50,"delta_1":0.0,"tpsa":20.23,"cas":"64-17-5","note":1,"note_2":"say \"hi\"\nthere","zip":"007"},
{"mol_id":"b","smiles":"CC","status":null,"charge":null,"H298_cbs":null,"delta_1":-1e-3,"tpsa":null,"cas":null,"note":2,"note_2":null,"zip":null}
]
`,
		"jsonl": `{"mol_id":"a","smiles":"C,<N>","status":"OK","charge":1,"H298_cbs":1.50,"delta_1":0.0,"tpsa":20.23,"cas":"64-17-5","note":1,"note_2":"say \"hi\"\nthere","zip":"007"}
{"mol_id":"b","smiles":"CC","status":null,"charge":null,"H298_cbs":null,"delta_1":-1e-3,"tpsa":null,"cas":null,"note":2,"note_2":null,"zip":null}
`,
		"csv": "mol_id,smiles,status,charge,H298_cbs,delta_1,tpsa,cas,note,note_2,zip\n" +
			"a,\"C,<N>\",OK,1,1.50,0.0,20.23,64-17-5,1,\"say \"\"hi\"\"\nthere\",007\nb,CC,,,,-1e-3,,,2,,\n",
	} {
		if got := exported(t, format, table); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", format, got, want)
		}
	}
	for format, want := range map[string]string{"json": "[]\n", "jsonl": "", "csv": "mol_id,smiles,status\n", "sdf": "", "xyz": ""} {
		if got := exported(t, format, "mol_id,smiles,status\n"); got != want {
			t.Errorf("%s of no rows: %q, want %q", format, got, want)
		}
	}
	for _, text := range []string{"+5", ".5", "5.", " 1e400 ", "-0", "1e-400"} {
		if got := exported(t, "json", "mol_id,smiles,status,delta_1,x\na,C,OK,"+text+","+text+"\n"); !json.Valid([]byte(got)) {
			t.Errorf("%q makes no JSON: %s", text, got)
		}
	}
}

// growth is how much the heap holds after a collection, at most, while a table of so many rows is exported.
func growth(t *testing.T, format string, rows int) uint64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "big.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added,H298_cbs,batch_id,note")
	for n := range rows {
		fmt.Fprintf(w, "mol_%07d,OK,0,CCO,1,0,3,2026-11-23T00:00:00+00:00,-%d.415,,%d\n", n, n%300, n)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	heap := &heapWatcher{every: 1 << 20}
	if err := exportTo(heap, io.Discard, format, &pipeline.Pipeline{Table: path, Artefacts: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if heap.written < rows {
		t.Fatalf("%s: %d bytes of %d rows", format, heap.written, rows)
	}
	return heap.most
}

// heapWatcher looks at the heap each time that so many bytes were written.
type heapWatcher struct {
	every, written, next int
	most                 uint64
}

func (h *heapWatcher) Write(p []byte) (int, error) {
	if h.written += len(p); h.written >= h.next {
		h.next += h.every
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		h.most = max(h.most, m.HeapAlloc)
	}
	return len(p), nil
}

// TestExportMemory exports twenty times as many rows in the same memory: the table itself would take eight megabytes more.
func TestExportMemory(t *testing.T) {
	for _, format := range []string{"json", "jsonl", "csv"} {
		small, big := growth(t, format, 5_000), growth(t, format, 100_000)
		if big > small+1<<20 {
			t.Errorf("%s: %d bytes of heap with 5,000 rows, %d with 100,000", format, small, big)
		}
	}
}
