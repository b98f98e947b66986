// Package web makes the report of a table: one HTML page that needs no network, and the same
// numbers as JSON.
//
// The caller gathers a Data: plain values of the table, of the results and of the journal. Compute
// makes Numbers of a Data. WritePage writes the page; JSON of Numbers is the other form.
//
// A Live serves the report, and a page that follows the journal of a batch. It opens the journal
// and files below the artefacts, and writes nothing. The package knows no pipeline and no
// chemistry.
//
// Plots are by uPlot, conformers by 3Dmol, structures from SMILES by SmilesDrawer: built files of
// npm in folders of these names, with their licences. Own scripts lie in js and live.
//
// Every text of a Data is foreign. The page shows each one as text: html/template escapes what
// stands in the page, and the script writes texts by textContent only. A Content-Security-Policy
// allows the page its own script, its own style and data: images, and nothing else.
package web

import "time"

// Data is everything that a report is made of. Enthalpies are in kcal/mol, times in seconds. A
// number that is not known is NaN.
type Data struct {
	Title     string // of the table, as the user names it
	Made      time.Time
	Reference string // the column of the reference
	Result    string // the column of the result
	Method    string // what the result is called, as PM7
	Search    string // what orders the conformers, as GFN2-xTB
	Molecules []Molecule
	Columns   []Column  // every column of the table
	Failures  []Failure // the most frequent first
	Stages    []Stage   // in the order in which they run
	Batch     Batch     // the last one that computed something
	Settings  []Setting // that are not the default
	Methods   []string  // sentences for a paper; [1] is the first of Works
	Works     []Work    // to be cited
	Against   string    // the other table, "" for none
	// OtherMolecules is how many rows of the other table have the mol_id of another molecule.
	OtherMolecules int
	Undrawn        string  // why the browser draws the outliers, "" if they have drawings
	Folders        string  // the folder of artefacts as a relative URL with a slash at its end
	Tolerance      float64 // results of two runs that differ by less are the same
}

// Molecule is a row of the table with its results.
type Molecule struct {
	ID, SMILES string
	Status     string
	Reference  float64
	Result     float64
	Other      float64 // the result in the other table
	Size       int     // heavy atoms; 0 if not known
	Classes    []*Class
	Conformers []float64 // the result of each conformer, in the order of the search
	Targets    []Target  // the results that are in use
	Drawing    string    // SVG; "" for one that the browser makes
	Geometries []Geometry
	Zip        bool // its files are in one, named after it; else in a folder
}

// Deviation is the result less the reference.
func (m *Molecule) Deviation() float64 { return m.Result - m.Reference }

// Class is a kind of molecules, as all with the charge +1. A molecule is in several.
type Class struct {
	Kind, Name string
	Place      int // among the classes of the report
}

// Geometry is a conformer in space.
type Geometry struct {
	Symbols []string  `json:"symbols"`
	Coords  []float64 `json:"coords"` // x, y, z of each atom, Å
	Bonds   [][2]int  `json:"bonds"`  // numbers of atoms, from 0
	Result  float64   `json:"result"` // kcal/mol
	Rank    int       `json:"rank"`   // in the order of the search, from 1
}

// Target is a result of a stage.
type Target struct {
	Stage        string
	Seconds, CPU float64
}

// Column is a column of the table.
type Column struct {
	Name   string
	Unit   string   // "" for none
	Number bool     // every cell is a number or empty
	Cells  []string // of each molecule
}

// Failure is a reason for which molecules have no result.
type Failure struct {
	Stage    string   `json:"stage"`
	Reason   string   `json:"reason"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"` // messages
	Commands []string `json:"commands"` // to try
}

// Stage is a stage of the pipeline.
type Stage struct {
	Name, Title string
	DependsOn   []string
	Runs        string // the program, "" for a stage of values
	Off         bool
}

// Batch is a run of the scheduler.
type Batch struct {
	ID, Host string
	Jobs     int
	Started  time.Time
	Seconds  float64 // to the last event
	Spans    []Span  // of its targets
	Rows     int     // molecules that it finished and of which it computed something
}

// Span is the time in which a target ran, in seconds since the batch started.
type Span struct {
	From, To float64
	Cores    int
}

// Setting is a setting of the pipeline, or the version of a program.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note,omitempty"`
	// Program says that the value is the version of a program.
	Program bool `json:"program,omitempty"`
}

// Work is something to be cited.
type Work struct {
	Text string `json:"text"`
	DOI  string `json:"doi,omitempty"`
}
