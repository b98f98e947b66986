package stages

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParseXYZ(t *testing.T) {
	energy := func(x float64) *float64 { return &x }
	for _, test := range []struct {
		name, text string
		want       []Frame
	}{
		{"bare energy", "1\n        -11.39433\nHe 0 0 0\n", []Frame{
			{"-11.39433", energy(-11.39433), []string{"He"}, []float64{0, 0, 0}, ""}}},
		{"xtb's energy", "1\n energy: -1.743126632946 gnorm: 0.0 xtb: 6.5.1 (unknown)\nHe 0 0 0\n",
			[]Frame{{"energy: -1.743126632946 gnorm: 0.0 xtb: 6.5.1 (unknown)",
				energy(-1.743126632946), []string{"He"}, []float64{0, 0, 0}, ""}}},
		{"remark", "1\n -1.5 !CONF1\nHe 0 0 0\n", []Frame{{"-1.5 !CONF1", energy(-1.5),
			[]string{"He"}, []float64{0, 0, 0}, ""}}},
		{"blank comment", "2\n\nH 0 0 0\nh 0 0 7.4D-1\n", []Frame{
			{"", nil, []string{"H", "H"}, []float64{0, 0, 0, 0, 0, 0.74}, ""}}},
		{"a title is no energy", "1\n2 water\nCL 1 2 3\n", []Frame{
			{"2 water", nil, []string{"Cl"}, []float64{1, 2, 3}, ""}}},
		{"a number without decimals is no energy", "1\n42\nH 1 2 3\n",
			[]Frame{{"42", nil, []string{"H"}, []float64{1, 2, 3}, ""}}},
		{"two frames, CRLF, blank lines", "1\r\na\r\nH 0 0 1\r\n\r\n1\r\nb\r\nH 0 0 2\r\n\r\n",
			[]Frame{
				{"a", nil, []string{"H"}, []float64{0, 0, 1}, ""},
				{"b", nil, []string{"H"}, []float64{0, 0, 2}, ""}}},
		{"no last line end", "1\n\nH 0.10 0.20 0.30", []Frame{
			{"", nil, []string{"H"}, []float64{0.1, 0.2, 0.3}, ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseXYZ([]byte(test.text))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseXYZRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, words string }{
		{"empty", " \n\n", "empty"},
		{"no count", "hello\n\nH 0 0 0\n", "line 1"},
		{"zero atoms", "0\n\n", "line 1"},
		{"huge count", "99999999999\n\nH 0 0 0\n", "line 1"},
		{"too few atoms", "3\n\nH 0 0 0\nH 0 0 1\n", "the file ends after 2"},
		{"too many atoms", "1\n\nH 0 0 0\nH 0 0 1\n", "line 4"},
		{"NaN", "1\n\nH 0 NaN 0\n", "line 3"},
		{"infinity", "1\n\nH 0 0 Inf\n", "line 3"},
		{"overflow", "1\n\nH 0 0 1e999\n", "line 3"},
		{"stars", "1\n\nH 0 0 ********\n", "line 3"},
		{"Go's hexadecimal", "1\n\nH 0 0 0x1p3\n", "line 3"},
		{"unknown element", "1\n\nQq 0 0 0\n", `there is no element "Qq"`},
		{"missing coordinate", "1\n\nH 0 0\n", "line 3"},
		{"torn number", "2\n\nH 0.000 0.000 0.000\nH 0.000 0.000 0.7",
			"the file ends in the middle"},
		{"torn second frame", "1\n\nH 0 0 0\n1\n", "line 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			frames, err := ParseXYZ([]byte(test.text))
			if frames != nil {
				t.Errorf("frames %+v", frames)
			}
			wantError(t, err, test.words)
		})
	}
}

func TestReadXYZ(t *testing.T) {
	frames, err := ReadXYZ("testdata/mol/ethanol_conformers.xyz") // CREST 3.0.2
	if err != nil || len(frames) != 3 || *frames[0].Energy != -11.39433927 ||
		len(frames[2].Symbols) != 9 {
		t.Fatalf("%d frames, %v: %+v", len(frames), err, frames)
	}
	first, err := firstFrame("testdata/mol/ethanol_opt.xyz") // xTB 6.5.1
	if err != nil || *first.Energy != -11.394338678881 || first.Symbols[2] != "O" {
		t.Errorf("%+v, %v", first, err)
	}
	missing := filepath.Join(t.TempDir(), "no.xyz")
	_, err = firstFrame(missing)
	wantError(t, err, missing+": ", "no such file")
	torn := filepath.Join(t.TempDir(), "torn.xyz")
	if err := os.WriteFile(torn, read(t, "testdata/mol/ethanol_conformers.xyz")[:300],
		0o600); err != nil {
		t.Fatal(err)
	}
	_, err = ReadXYZ(torn)
	wantError(t, err, torn+": line ")
}

func TestFormatXYZ(t *testing.T) {
	frames, err := ReadXYZ("testdata/mol/ethanol_conformers.xyz")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseXYZ(FormatXYZ(frames))
	if err != nil || !reflect.DeepEqual(frames, again) {
		t.Errorf("written and read again: %v\n%+v\n%+v", err, frames, again)
	}
	energy := -1.5
	got, want := (Frame{Energy: &energy, Symbols: []string{"H"},
		Coords: []float64{0, -1, 2}}).XYZ(),
		"1\n-1.50000000\nH      0.0000000000    -1.0000000000     2.0000000000\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestElements(t *testing.T) {
	for _, test := range []struct {
		symbol       string
		number       int
		mass, radius float64
	}{{"H", 1, 1.008, 0.31}, {"C", 6, 12.011, 0.76}, {"Cl", 17, 35.45, 1.02},
		{"I", 53, 126.90, 1.39}, {"W", 74, 183.84, 1.62}, {"Rn", 86, 222, 1.50}} {
		want := Element{test.symbol, test.number, test.mass, test.radius}
		if got, ok := ElementBySymbol(test.symbol); !ok || got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got, ok := ElementByNumber(test.number); !ok || got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	seen := map[string]bool{}
	for n := 1; n <= 86; n++ {
		e, ok := ElementByNumber(n)
		if !ok || seen[e.Symbol] || e.Mass < 1.6*float64(n) && n > 1 || e.Mass > 2.7*float64(n) ||
			e.Radius < 0.2 || e.Radius > 2.5 {
			t.Errorf("element %d: %+v", n, e)
		}
		seen[e.Symbol] = true
	}
	for _, n := range []int{0, -1, 87} {
		if e, ok := ElementByNumber(n); ok {
			t.Errorf("element %d: %+v", n, e)
		}
	}
}

func FuzzParseXYZ(f *testing.F) {
	f.Add(read(f, "testdata/mol/ethanol_conformers.xyz"))
	f.Add(read(f, "testdata/mol/ethanol_opt.xyz"))
	f.Add([]byte("1\n energy: 1D2\nH 0 0 -0\n\n2\n\nH 1 1 1\nXx 2 2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := ParseXYZ(data)
		if (err == nil) != (len(frames) > 0) {
			t.Fatalf("%d frames and %v", len(frames), err)
		}
		for _, frame := range frames {
			if err := frame.check(); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			return
		}
		again, err := ParseXYZ(FormatXYZ(frames))
		if err != nil || len(again) != len(frames) {
			t.Fatalf("written: %s\n%v", FormatXYZ(frames), err)
		}
		if !bytes.Equal(FormatXYZ(again), FormatXYZ(frames)) {
			t.Fatalf("%s\nis not\n%s", FormatXYZ(again), FormatXYZ(frames))
		}
	})
}
