package formats

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
)

// shown is a table as a text: names, then a line a record, then the notes.
func shown(t *Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q\n", t.Names)
	for _, r := range t.Records {
		fmt.Fprintf(&b, "%d %q", r.Line, r.Cells)
		if r.Structure != "" {
			fmt.Fprintf(&b, " %q", r.Structure)
		}
		b.WriteString("\n")
	}
	return b.String() + strings.Join(t.Notes, "; ")
}

const sdf = "ethanol\n  prog\n\n  0  0  0  0  0  0            999 V2000\nM  END\n>  " +
	"<hof>\n-56.1\n\n> 1 <note> (2)\ntwo\nlines\n\n$$$$\n\n\n\n  0  0  0  0  0  0            999 " +
	"V2000\nM  END\n>  <empty>\n\n>  <hof>\n-3\n$$$$\n"

func TestParse(t *testing.T) {
	for _, test := range []struct{ ext, text, want string }{
		{".csv", "id,smiles\n1,CCO\n\n\"a \"\"x\"\"\",C\n", `[]
1 ["id" "smiles"]
2 ["1" "CCO"]
4 ["a \"x\"" "C"]
`},
		{".csv", "\ufeffid;smiles;H\r\n1;CCO;-56,4\r\n;;\r\nx;C\r\n", `[]
1 ["id" "smiles" "H"]
2 ["1" "CCO" "-56,4"]
4 ["x" "C"]
separator ";"; blank rows left out: 1`},
		{".tsv", "id\tsmiles\n\"a,\tb\"\tC\n", `[]
1 ["id" "smiles"]
2 ["a,\tb" "C"]
separator tab`},
		{".csv", "\"a;b;c\",smiles\r1,C\r", `[]
1 ["a;b;c" "smiles"]
2 ["1" "C"]
`},
		{".csv", "\xff\xfei\x00d\x00\n\x00\xe4\x00\n\x00", `[]
1 ["id"]
2 ["ä"]
UTF-16`},
		{".csv", "\xfe\xff\x00i\x00d\x00\n\x00\xe4\x00", `[]
1 ["id"]
2 ["ä�"]
UTF-16`},
		{".csv", "id\n\xe4\n", `[]
1 ["id"]
2 ["ä"]
Windows-1252`},
		{".smi", "CCO ethanol\n\nc1ccccc1\t benzene  ring\nC\n", `["smiles" "name"]
1 ["CCO" "ethanol"]
3 ["c1ccccc1" "benzene  ring"]
4 ["C" ""]
`},
		{".SMI", "SMILES name\nC methane\n", `["smiles" "name"]
2 ["C" "methane"]
`},
		{".smi", "# ChEMBL 35\n\"Canonical_SMILES\" ID\r\n#C\n\"CCO\"\t\"ethanol, dry\"\r\nC |^1:0| methyl\n" +
			"CC |f:0|\nC#N\n\r\n", `["smiles" "name"]
4 ["CCO" "ethanol, dry"]
5 ["C |^1:0|" "methyl"]
6 ["CC |f:0|" ""]
7 ["C#N" ""]
comment lines left out: 2`},
		{".smi", "# made by hand\nCCO,ethanol\nC,methane\n", `[]
1 ["# made by hand"]
2 ["CCO" "ethanol"]
3 ["C" "methane"]
`},
		{".csv", "sep=;\r\nid;smiles;H\r\n1;CCO;-56,4\r\n", `[]
2 ["id" "smiles" "H"]
3 ["1" "CCO" "-56,4"]
separator ";"`},
		{".csv", "\xff\xfe\"\x00S\x00e\x00p\x00=\x00\t\x00\"\x00\n\x00a\x00\t\x00b\x00\n\x00\"\x00", "!:3: a " +
			`quote stands where none can; a cell with a quote in it is written "1 ""2"" 3"`},
		{".csv", "CCO |f:1|,x\nC,y\n", `[]
1 ["CCO |f:1|" "x"]
2 ["C" "y"]
`},
		{".sdf", sdf + "\n \n\n", `["title" "hof" "note" "empty"]
1 ["ethanol" "-56.1" "two lines"] "ethanol\n  prog\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
14 ["" "-3" "" ""] "\n\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
`},
		{".sdf", sdf, `["title" "hof" "note" "empty"]
1 ["ethanol" "-56.1" "two lines"] "ethanol\n  prog\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
14 ["" "-3" "" ""] "\n\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
`},
		{".sdf", strings.Replace(sdf, "> 1 <note>", "> <hof>\n-60\n\n> 1 <note>", 1),
			`["title" "hof" "hof" "note" "empty"]
1 ["ethanol" "-56.1" "-60" "two lines"] "ethanol\n  prog\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
17 ["" "-3" "" "" ""] "\n\n\n  0  0  0  0  0  0            999 V2000\nM  END\n"
`},
		{".csv", "", "!: is empty"},
		{".csv", "\ufeff \r\n", "!: is empty"},
		{".csv", "a,b\n1,\"x\" y\n",
			`!:2: a quote stands where none can; a cell with a quote in it is written "1 ""2"" 3"`},
		{".csv", "a,b\n1,\"x\n\n",
			`!:2: a quote stands where none can; a cell with a quote in it is written "1 ""2"" 3"`},
		// Files that were cut off, and short last rows of others.
		{".csv", "T 1\nname,smiles,H\na,C,-1\nb,CCC", "!:4: the last row has only 2 of 3 cells " +
			"and no line break; the file was probably cut off. Get the whole file, or end the row " +
			"with a line break"},
		{".csv", "name,smiles,H\na,C\nb,CCC", `[]
1 ["name" "smiles" "H"]
2 ["a" "C"]
3 ["b" "CCC"]
`},
		{".csv", "a title\nsmiles", `[]
1 ["a title"]
2 ["smiles"]
`},
		// Stray quotes around rows; cells that have line breaks or separators.
		{".csv", "name,smiles,H,x\na,C,-1,\nb,CC,-2,\"b\nc,CCC,-3,c\nd,N,-4,d\"\ne,O,-5,e\n",
			"!:3: a cell in quotes goes on to line 5, and seems to have rows of the table in it; " +
				"remove the stray quote, or write the cell on one line"},
		{".csv", "sep=;\nname;smiles;H\n\"a;C;-1\nb;CC;-2\"\n",
			"!:3: a cell in quotes goes on to line 4, and seems to have rows of the table in it; " +
				"remove the stray quote, or write the cell on one line"},
		{".csv", "name,\"H, in\nkcal\",smiles\n\"a\nb\nc, d\",\"1,5\",C\n", `[]
1 ["name" "H, in\nkcal" "smiles"]
3 ["a\nb\nc, d" "1,5" "C"]
`},
		{".csv", strings.Repeat("a,", mostColumns),
			"!:1: the table has more than 2000 columns, or than 100000000 cells; split it"},
		{".xlsx", "PK\x03\x04...", "!: is an Excel workbook or a zip file; save it as CSV UTF-8"},
		{".gz", "\x1f\x8b...", "!: is compressed; unpack it with gunzip"},
		{".xz", "\xfd7zXZ\x00...", "!: is compressed; unpack it with unxz"},
		{".bz2", "BZh91AY...", "!: is compressed; unpack it with bunzip2"},
		{".zst", "\x28\xb5\x2f\xfd...", "!: is compressed; unpack it with unzstd"},
		{".xls", "\xd0\xcf\x11\xe0...", "!: is an Excel workbook; save it as CSV UTF-8"},
		{".db", "SQLite format 3\x00", "!: is a SQLite database; write its table as CSV"},
		{".csv", "id,x\n1,a\n2,\x00\n",
			"!:3: has a NUL byte, as no text has; save it as CSV UTF-8"},
		{".parquet", "PAR1xxxxPAR1",
			"!: the Parquet file can't be read: it is damaged, or another kind of file"},
	} {
		table, err := parse(t.Context(), []byte(test.text), strings.ToLower(test.ext))
		got := ""
		if err != nil {
			got = "!" + err.Error()
		} else {
			got = shown(table)
		}
		if got != test.want {
			t.Errorf("%s %q:\n%s\nwant\n%s", test.ext, test.text, got, test.want)
		}
	}
}

// foreign is a Parquet file of another program's kinds of columns.
func foreign(t testing.TB) []byte {
	t.Helper()
	type row struct {
		Name  string    `parquet:"name"`
		Small int32     `parquet:"small,optional"`
		Half  float32   `parquet:"half"`
		Yes   bool      `parquet:"yes"`
		Day   int32     `parquet:"day,date"`
		At    time.Time `parquet:"at,timestamp(microsecond)"`
		Exact int64     `parquet:"exact,decimal(2:10)"`
		Tags  []string  `parquet:"tags"`

		Wide   [16]byte         `parquet:"wide,decimal(3:38)"`
		ID     [16]byte         `parquet:"id,uuid"`
		Large  uint64           `parquet:"large"`
		Big    uint32           `parquet:"big"`
		Byte   uint8            `parquet:"byte"`
		Old    deprecated.Int96 `parquet:"old"`
		Local  int64            `parquet:"local,timestamp(millisecond:local)"`
		Clock  int32            `parquet:"clock,time(millisecond)"`
		Raw    [3]byte          `parquet:"raw"`
		Binary []byte           `parquet:"binary"`
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[row](&out)
	minus := [16]byte(bytes.Repeat([]byte{0xff}, 16)) // -1
	_, err := w.Write([]row{{"ä", 3, 0.1, true, 20000, time.UnixMicro(1), 5, []string{"x", "y"},
		minus, [16]byte{0: 0x12, 15: 0xab}, 1<<64 - 1, 4_000_000_000, 200,
		deprecated.Int96{1_000_000_000, 0, 2440589}, 1500, 11_045_000, [3]byte{1},
		[]byte("a\x00b")},
		{At: time.UnixMicro(0), Exact: -1234}})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadParquet(t *testing.T) {
	table, err := parse(t.Context(), foreign(t), "")
	if err != nil {
		t.Fatal(err)
	}
	const want = `["name" "small" "half" "yes" "day" "at" "exact" "wide" "id" "large" "big" "byte" "old" "local" "clock" "binary"]
1 ["ä" "3" "0.1" "true" "2024-10-04" "1970-01-01T00:00:00.000001Z" "0.05" "-0.001" "12000000-0000-0000-0000-0000000000ab" "18446744073709551615" "4000000000" "200" "1970-01-02T00:00:01" "1970-01-01T00:00:01.5" "03:04:05" "a�b"]
2 ["" "" "0" "false" "1970-01-01" "1970-01-01T00:00:00Z" "-12.34" "0.000" "00000000-0000-0000-0000-000000000000" "0" "0" "0" "-4713-11-24T00:00:00" "1970-01-01T00:00:00" "00:00:00" ""]
column tags left out: it has lists, structures or bytes; column raw left out: it has lists, structures or bytes`
	if got := shown(table); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	path, _ := write(t, example)
	table, err = Read(t.Context(), path)
	if err != nil || !strings.HasPrefix(shown(table), `["mol_id" "n, \"x\"\ny" "hof" "x" "at"]
1 ["a" "-1152921504606846976" "-57.85852" "0.1" "2026-11-01T12:00:00.005001Z"]
2 ["b" "" "" "" ""]
`) {
		t.Errorf("our own: %v\n%s", err, shown(table))
	}
}

// A file that is cut or damaged anywhere gives an error or a table. A footer that says that it is
// 4 GB long, for which the library would take them, is no exception.
func TestDamagedParquet(t *testing.T) {
	whole := foreign(t)
	cut, wrong := 0, 0
	for at := 4; at < len(whole); at += 37 {
		if _, err := parse(t.Context(), whole[:at], ""); err != nil {
			cut++
		}
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x5a
		if _, err := parse(t.Context(), damaged, ""); err != nil {
			wrong++
		}
	}
	if cut != (len(whole)-4+36)/37 || wrong == 0 {
		t.Errorf("%d cut files and %d damaged ones are refused", cut, wrong)
	}
	long := bytes.Clone(whole)
	copy(long[len(long)-8:], "\xf0\xff\xff\xff")
	if table, err := parse(t.Context(), long, ""); err == nil {
		t.Errorf("%+v", table)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.csv")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(MostBytes + 1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: ": not a file", filepath.Join(dir, "none.csv"): "no such file",
		large: "has 1024 MB; at most 1024 are read at once, so split it",
	} {
		if _, err := Read(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whatever the bytes, a table or an error comes out; each record fits the columns.
func FuzzParse(f *testing.F) {
	f.Add([]byte("id;smiles\n1;CCO\n"), ".csv")
	f.Add([]byte("\xff\xfea\x00"), ".csv")
	f.Add([]byte(sdf), ".sdf")
	f.Add([]byte("CCO x\n"), ".smi")
	f.Add(foreign(f), "")
	path, _ := write(f, example)
	ours, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ours, "")
	f.Fuzz(func(t *testing.T, data []byte, ext string) {
		table, err := parse(t.Context(), data, ext)
		if err != nil {
			return
		}
		for _, r := range table.Records {
			if r.Line < 1 || table.Names != nil && len(r.Cells) > len(table.Names) {
				t.Errorf("%q: line %d, cells %q of columns %q", data, r.Line, r.Cells, table.Names)
			}
		}
	})
}
