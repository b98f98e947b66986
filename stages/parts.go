package stages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A part is what one start of xTB made of some members of a level. Parts run at once on idle cores.
// A part that took long is recorded, so that a search that is stopped goes on from there. What a
// part has in it does not depend on either: xTB starts each optimisation from the electrons of the
// one before.
type part struct {
	Frames   []Frame  // optimised, one for each member; empty for one that failed
	Failures []string // why a member has none, or ""
	Note     string   // why the members were optimised one by one, or ""
	Version  string   // of xTB
}

// Members of a molecule of 40 atoms that make a part. GFN2-xTB takes 0.1 to 1.3 s for each, which
// grows by the third power of the atoms at least. GFN-FF takes 0.02 s. A start of xTB takes 17 ms.
const partAtoms, partMembers, partGFNFF = 40, 8, 10

// recordedAfter is how long a part takes that is recorded. A stopped search loses the others.
var recordedAfter = time.Second // a test records all

func (e *ensemble) partSize(l level) int {
	n, members := len(e.Symbols), partMembers
	if l.method == "gfnff" {
		members *= partGFNFF
	}
	return max(1, members*partAtoms*partAtoms*partAtoms/(n*n*n))
}

// part optimises members, or finds that an earlier attempt did.
func (e *ensemble) part(ctx context.Context, l level, members []*member) (part, error) {
	frames := make([]Frame, len(members))
	for i, x := range members {
		frames[i] = x.Frame
	}
	sum := sha256.Sum256(append([]byte(l.String()+"\n"), FormatXYZ(frames)...))
	key := hex.EncodeToString(sum[:])
	var p part
	if json.Unmarshal(e.Kept(key), &p) == nil && len(p.Frames) == len(members) &&
		len(p.Failures) == len(members) {
		return p, nil
	}
	began, dir := time.Now(), filepath.Join(e.Dir, fmt.Sprintf("xtb.%s.%d", l, members[0].number))
	p, err := e.together(ctx, l, dir, frames)
	if isSystem(err) {
		return p, err
	}
	if err != nil {
		p = part{Failures: make([]string, len(members)), Frames: make([]Frame, len(members))}
		if err != errSingle {
			p.Note = err.Error()
		}
		for i, f := range frames {
			one := fmt.Sprintf("%s.%d", dir, members[i].number)
			p.Frames[i], p.Version, err = e.alone(ctx, l, one, f)
			if isSystem(err) {
				return p, err
			}
			if err != nil {
				p.Failures[i] = "failed: " + err.Error()
			}
		}
	}
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	if time.Since(began) < recordedAfter {
		return p, nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	return p, e.Keep(key, data)
}

// isSystem reports whether an error is the machine's, as of a full disk, and no geometry's.
func isSystem(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok && !errors.Is(err, fs.ErrNotExist)
}

// words are what tells xTB the method of a level.
func (l level) words() []string {
	if l.method == "gfnff" {
		return []string{"--gfnff"}
	}
	return []string{"--gfn", "2"}
}

// errSingle is of what xTB can't do with several geometries, or need not.
var errSingle = errors.New("one geometry or atom, or a single point, needs no --mdopt")

// together optimises all members in one start of xTB, which costs as much as the optimisation of a
// small molecule. xTB's --mdopt optimises each frame of the file xtb.trj, and leaves out of
// xtb_ensemble.xyz what did not converge. Nobody can tell which, so that the caller does it one by
// one after any failure.
func (e *ensemble) together(ctx context.Context, l level, dir string, frames []Frame) (
	p part, err error) {
	if len(frames) == 1 || len(e.Symbols) == 1 || l.name == point {
		return p, errSingle
	}
	if err := writeFiles(dir, map[string]string{
		"in.xyz":  frames[0].XYZ(),
		"xtb.trj": string(FormatXYZ(frames)),
		"xtb.inp": "$md\n skip=1\n$opt\n optlevel=" + l.name + "\n$end\n",
	}); err != nil {
		return p, err
	}
	argv := slices.Concat([]string{"xtb", "in.xyz", "--input", "xtb.inp", "--mdopt"}, l.words(),
		e.state)
	if err := e.Run(ctx, dir, "xtb.out", argv...); err != nil {
		return p, err
	}
	run, err := ReadXTB(filepath.Join(dir, "xtb.out"))
	if err != nil {
		return p, err
	}
	done, err := ReadXYZ(filepath.Join(dir, "xtb_ensemble.xyz"))
	if err != nil {
		return p, err
	}
	if len(done) != len(frames) {
		return p, fmt.Errorf("%d of %d converged", len(done), len(frames))
	}
	for i, f := range done {
		if f.Energy == nil || len(f.Symbols) != len(e.Symbols) {
			return p, fmt.Errorf("frame %d of xtb_ensemble.xyz has no energy or not all atoms", i+1)
		}
	}
	return part{done, make([]string, len(done)), "", run.Version}, os.RemoveAll(dir)
}

// hot is the electronic temperature, K, at which an SCF starts that does not converge at xTB's own
// 300 K.
const hot = "1000"

// alone optimises one geometry. Of a single atom, or at a level of single points, it takes the
// energy. version is xTB's.
//
// If the SCF does not converge, as of iodosylbenzene and doublet N, a hot single point goes before.
// xTB starts from its charges (the file xtbrestart), and ends at the same energy as ever.
func (e *ensemble) alone(ctx context.Context, l level, dir string, f Frame) (
	out Frame, version string, err error) {
	if err := writeFiles(dir, map[string]string{"in.xyz": f.XYZ()}); err != nil {
		return out, "", err
	}
	single := slices.Concat([]string{"xtb", "in.xyz"}, l.words(), e.state)
	argv, result := single, "in.xyz"
	if len(e.Symbols) > 1 && l.name != point {
		argv, result = append(slices.Clone(single), "--opt", l.name), "xtbopt.xyz"
	}
	run, err := e.start(ctx, dir, argv)
	if errors.Is(err, errSCF) {
		if e.Run(ctx, dir, "hot.out", append(single, "--etemp", hot)...) == nil {
			run, err = e.start(ctx, dir, argv)
		}
	}
	if err != nil {
		return out, run.Version, err
	}
	done, err := ReadXYZ(filepath.Join(dir, result))
	if err != nil {
		return out, run.Version, err
	}
	out = done[0]
	out.Energy = &run.Energy
	os.RemoveAll(dir) // a folder left over is swept away with the scratch folder
	return out, run.Version, nil
}

// start runs xTB. Its output knows better than its exit status what went wrong.
func (e *ensemble) start(ctx context.Context, dir string, argv []string) (XTB, error) {
	runErr := e.Run(ctx, dir, "xtb.out", argv...)
	run, err := ReadXTB(filepath.Join(dir, "xtb.out"))
	if err == nil {
		err = runErr
	}
	return run, err
}
