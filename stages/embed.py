"""Builds a molecule from its SMILES: a pool of starting geometries for the conformer search.

    python3 -I embed.py --smiles CCO --charge 0 --multiplicity 1 --seed 61453

writes properties.json, molecule.mol, geometry.xyz and pool.xyz into the current folder. What can't be done is said
in one line on standard error, with exit status 1. The same input gives the same bytes (one thread, one seed).
The pool is ETKDGv3 (doi 10.1021/acs.jcim.0c00025), relaxed with MMFF94s (UFF where that has no parameters), and
thinned by geometry. It ranks nothing: that is done with GFN2-xTB afterwards.
"""
import argparse
import io
import json
import os
import sys
import time

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolDescriptors, rdMolTransforms
from rdkit.ForceField import rdForceField  # noqa: F401  its classes are what rdForceFieldHelpers returns

MAX_ATOMS = 250      # beyond that neither the pool nor GFN2 is a matter of minutes
HEAVIEST = 86        # GFN2-xTB ends at radon
WINDOW = 18.0        # kcal/mol by force field; wide, since force fields misjudge hydrogen bonds
SAME = 0.06          # Å, RMS difference of the distances between heavy atoms and polar hydrogens; none may differ by
                     # four times as much, which keeps apart what differs in one hydrogen bond
SAME_BONDED = 0.20   # Å, the same for those relaxed without charges and contacts, which are further from any minimum
FEW = 20             # a pool smaller than this is filled up with those
TRIED_BONDED = 60    # of so many embeddings
CLASH = 100.0        # kcal/mol: above this they have atoms within each other
MAX_SYMMETRY = 720   # permutations of equivalent atoms tried
TIME_LIMIT = 300.0   # s of CPU for embedding and relaxing
CHUNK = 25           # embeddings between two looks at the clock


class Refused(Exception):
    """The molecule can't be built; the message says why."""


def read(smiles, charge, multiplicity):
    """The molecule with all hydrogens, or Refused."""
    heard, sys.stderr = sys.stderr, io.StringIO()
    rdBase.LogToPythonStderr()
    try:
        mol = Chem.MolFromSmiles(smiles)
        said = sys.stderr.getvalue()
    finally:
        sys.stderr = heard
    if mol is None:
        lines = [line.split("] ", 1)[-1].strip() for line in said.splitlines() if line.strip()]
        raise Refused(f"RDKit can't read the SMILES {smiles!r}: {lines[0] if lines else 'no reason given'}")
    if mol.GetNumAtoms() == 0:
        raise Refused("the SMILES is empty")
    if any(a.GetAtomicNum() == 0 for a in mol.GetAtoms()):
        raise Refused(f"the SMILES {smiles!r} has an atom of no element (*)")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Refused(f"the SMILES {smiles!r} has {len(Chem.GetMolFrags(mol))} separate parts: one molecule is expected")
    mol = Chem.AddHs(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() > HEAVIEST:
            raise Refused(f"the SMILES {smiles!r} has {atom.GetSymbol()}, and GFN2-xTB ends at Rn")
    if mol.GetNumAtoms() > MAX_ATOMS:
        raise Refused(f"the molecule has {mol.GetNumAtoms()} atoms, at most {MAX_ATOMS} are taken")
    if Chem.GetFormalCharge(mol) != charge:
        raise Refused(f"the SMILES {smiles!r} has the charge {Chem.GetFormalCharge(mol):+d}, the row says {charge:+d}")
    electrons = sum(a.GetAtomicNum() for a in mol.GetAtoms()) - charge
    unpaired = multiplicity - 1
    if unpaired < 0 or unpaired > electrons or (electrons - unpaired) % 2:
        raise Refused(f"{electrons} electrons can't have the multiplicity {multiplicity}")
    return mol


def flexible_ring_bonds(mol):
    """How many torsions the saturated rings can turn: a ring of n atoms has n-3, less its stiff bonds."""
    count = 0
    for ring in mol.GetRingInfo().AtomRings():
        if len(ring) < 5:
            continue
        pairs = zip(ring, ring[1:] + ring[:1])
        stiff = sum(mol.GetBondBetweenAtoms(a, b).GetBondType() != Chem.BondType.SINGLE for a, b in pairs)
        count += max(0, len(ring) - 3 - 2 * stiff)
    return count


def rotors(mol):
    """Single bonds that turn into something else: between two groups, none of them a methyl or alike."""
    def turns(atom, other):
        rest = [n for n in atom.GetNeighbors() if n.GetIdx() != other.GetIdx()]
        if not rest or atom.GetHybridization() == Chem.HybridizationType.SP:
            return False
        # CH3, CF3, NH3+: turning them by a third changes nothing
        return not (len(rest) == 3 and len({n.GetAtomicNum() for n in rest}) == 1 and all(n.GetDegree() == 1 for n in rest))
    return sum(b.GetBondType() == Chem.BondType.SINGLE and not b.IsInRing()
               and turns(b.GetBeginAtom(), b.GetEndAtom()) and turns(b.GetEndAtom(), b.GetBeginAtom())
               for b in mol.GetBonds())


def turn_acids(mol):
    """Turns a third of the acids and esters about C-O: RDKit's distance bounds allow X-O-C=O only as cis.

    The other form is the one of an acid whose hydrogen is bound within the molecule, as in glycine and lactic acid."""
    done = set()
    for x, o, c, double in mol.GetSubstructMatches(Chem.MolFromSmarts("[*][OX2;!R][#6,#7;$(*=[O,N,S])]=[O,N,S]")):
        if x == c or (o, c) in done:
            continue
        period = 3 ** len(done)
        done.add((o, c))
        for j, conf in enumerate(mol.GetConformers()):
            if j // period % 3 == 2:
                rdMolTransforms.SetDihedralDeg(conf, x, o, c, double, 180.0)


def relax(mol):
    """Relaxes every conformer. Returns the name of the force field and the energies, kcal/mol (0 without a force field)."""
    if mol.GetNumAtoms() > 1 and rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        done = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, 1, 1000, "MMFF94s")
        return "MMFF94s", [e for _, e in done]
    if mol.GetNumAtoms() > 1 and rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        done = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(mol, 1, 1000)
        return "UFF", [e for _, e in done]
    return "none", [0.0] * mol.GetNumConformers()


def relax_bonded(mol, coords):
    """Relaxes coordinates with the bonded terms of MMFF94s alone: charges and contacts let some torsional minima fall into others
    that GFN2-xTB keeps apart. Returns the coordinates and the whole MMFF94s energies, kcal/mol, in the order of the bonded ones."""
    whole = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
    bonded = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
    bonded.SetMMFFEleTerm(False)
    bonded.SetMMFFVdWTerm(False)
    done = []
    for xyz in coords:
        one = with_coords(mol, xyz)
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(one, bonded)
        field.Initialize()
        field.Minimize(maxIts=1000)
        total = rdForceFieldHelpers.MMFFGetMoleculeForceField(one, whole)
        total.Initialize()
        done.append((field.CalcEnergy(), total.CalcEnergy(), one.GetConformer().GetPositions()))
    done = sorted((d for d in done if np.isfinite(d[2]).all()), key=lambda d: d[0])
    return [d[2] for d in done], [d[1] for d in done]


def embed(mol, count, seed):
    """Up to count embeddings relaxed, the lowest first: their coordinates, energies, force field; and the first few as embedded."""
    params = rdDistGeom.ETKDGv3()
    params.numThreads, params.useSmallRingTorsions = 1, True
    coords, energies, raw, field, start, tries = [], [], [], "none", time.process_time(), 0
    while tries < count:
        n = min(CHUNK, max(1, count // 2), count - tries)
        params.randomSeed = seed + tries
        # Every second part goes without the torsion preferences of crystals: inner hydrogen bonds are rare there.
        params.useExpTorsionAnglePrefs = params.forceTransAmides = not params.useExpTorsionAnglePrefs
        tries += n
        part = Chem.Mol(mol)
        if len(rdDistGeom.EmbedMultipleConfs(part, n, params)) == 0 and not params.useRandomCoords:
            params.useRandomCoords = True
            rdDistGeom.EmbedMultipleConfs(part, n, params)
        if part.GetNumConformers():
            turn_acids(part)
            raw += [c.GetPositions() for c in part.GetConformers()][:TRIED_BONDED - len(raw)]
            field, found = relax(part)
            coords += [c.GetPositions() for c in part.GetConformers()]
            energies += found
        if time.process_time() - start > TIME_LIMIT:
            if coords:
                print(f"stopped after {tries} of {count} embeddings: {TIME_LIMIT:.0f} s are over", file=sys.stderr)
            break
    good = [i for i, x in enumerate(coords) if np.isfinite(x).all() and np.isfinite(energies[i])]
    if not good:
        raise Refused(f"RDKit found no geometry in {tries} attempts: impossible stereo or rings?")
    good.sort(key=lambda i: energies[i])
    return [coords[i] for i in good], [energies[i] for i in good], field, raw


def make_pool(mol, count, seed, flexible):
    """The pool, as pairs of coordinates and energy, the lowest first; and the name of the force field."""
    coords, energies, field, raw = embed(mol, count, seed)
    same = right_stereo(mol, coords)
    same = [i for i in same if energies[i] - energies[same[0]] <= WINDOW]
    seen = Distinct(mol)
    pool = [(coords[i], energies[i]) for i in same if seen.new(coords[i], SAME)]
    if flexible and field == "MMFF94s" and len(pool) < FEW:
        more, energies = relax_bonded(mol, raw)
        for i in right_stereo(mol, more):
            if len(pool) < FEW and energies[i] - pool[0][1] < CLASH and seen.new(more[i], SAME_BONDED):
                pool.append((more[i], energies[i]))
    return pool, field


def with_coords(mol, xyz):
    mol = Chem.Mol(mol)
    mol.RemoveAllConformers()
    conf = Chem.Conformer(mol.GetNumAtoms())
    for i, p in enumerate(xyz):
        conf.SetAtomPosition(i, p.tolist())
    mol.AddConformer(conf)
    return mol


def settle_stereo(mol, seed):
    """The molecule with the stereo that its SMILES leaves open as the lowest of the first few embeddings has it.

    A search over two diastereomers would be one over two compounds."""
    if all(found.specified != Chem.StereoSpecified.Unspecified for found in Chem.FindPotentialStereo(mol)):
        return mol
    settled = with_coords(mol, embed(mol, FEW, seed)[0][0])
    Chem.AssignStereochemistryFrom3D(settled)
    settled.RemoveAllConformers()
    return settled


def stereo_name(mol, xyz):
    found = with_coords(mol, xyz)
    Chem.AssignStereochemistryFrom3D(found)
    return Chem.MolToSmiles(Chem.RemoveHs(found))


def right_stereo(mol, coords):
    """The indices of the coordinates that have the stereo of the molecule, or else of the first: a relaxation may, rarely, turn a
    centre over, and RDKit does not always see that a SMILES leaves one open (1,4-cyclohexanediol)."""
    if not any(mark in stereo_name(mol, coords[0]) for mark in "@/\\"):
        return range(len(coords))
    names = [stereo_name(mol, xyz) for xyz in coords]
    want = Chem.MolToSmiles(Chem.RemoveHs(mol))
    want = want if want in names else names[0]
    return [i for i, name in enumerate(names) if name == want]


class Distinct:
    """Knows geometries by the distances between heavy atoms and polar hydrogens.

    Distances don't tell left from right, so mirror images are one; equivalent atoms may change places."""

    def __init__(self, mol):
        self.keep = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1
                     or all(n.GetAtomicNum() != 6 for n in a.GetNeighbors())]
        core = Chem.RWMol(mol)
        for i in sorted(set(range(mol.GetNumAtoms())) - set(self.keep), reverse=True):
            core.RemoveAtom(i)
        for atom in core.GetAtoms():  # what is drawn double or charged must not hide the symmetry of a carboxylate or a benzene
            atom.SetNoImplicit(True)
            atom.SetFormalCharge(0)
            atom.SetIsAromatic(False)
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        for bond in core.GetBonds():
            bond.SetBondType(Chem.BondType.SINGLE)
            bond.SetIsAromatic(False)
        core = core.GetMol()
        maps = np.array(core.GetSubstructMatches(core, uniquify=False, maxMatches=MAX_SYMMETRY)).reshape(-1, len(self.keep))
        self.upper = np.triu_indices(len(self.keep), 1)
        self.pairs = maps[:, self.upper[0]], maps[:, self.upper[1]]
        self.known = []

    def new(self, xyz, same):
        """Whether the geometry is none of the known ones, from now on known; same is the RMS difference of distances allowed, Å."""
        x = xyz[self.keep]
        d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
        for k in self.known:
            diff = np.abs(k - d[self.upper])
            if diff.shape[1] == 0 or ((diff.max(1) < 4 * same) & (np.sqrt((diff ** 2).mean(1)) < same)).any():
                return False
        self.known.append(d[self.pairs])
        return True


def build(smiles, charge, multiplicity, seed, max_pool):
    """All of it: the contents of the files to write, by name. Raises Refused. Keeps nothing between calls."""
    mol = read(smiles, charge, multiplicity)
    quiet = rdBase.BlockLogs()  # until the end: which atom types a force field lacks is no news  # noqa: F841
    turning = rotors(mol) + (flexible_ring_bonds(mol) + 1) // 2  # the torsions of a ring turn together
    count = min(max_pool, 4 + 16 * turning * turning if turning < 4 else 60 * turning)
    mol = settle_stereo(mol, seed)
    pool, field = make_pool(mol, count, seed, turning > 0)

    mol = with_coords(mol, pool[0][0])
    named = Chem.Mol(mol)
    Chem.AssignStereochemistryFrom3D(named)
    plain = Chem.RemoveHs(named)
    properties = {
        "canonical_smiles": Chem.MolToSmiles(Chem.MolFromSmiles(smiles)),
        "stereo_smiles": Chem.MolToSmiles(plain),
        "inchikey": inchikey(plain),
        "formula": rdMolDescriptors.CalcMolFormula(mol),
        "natoms": mol.GetNumAtoms(),
        "nheavy": mol.GetNumHeavyAtoms(),
        "nrotbonds": rdMolDescriptors.CalcNumRotatableBonds(plain),
        "nrotors": turning,
        "tpsa": round(rdMolDescriptors.CalcTPSA(plain), 2),
        "naromaticrings": rdMolDescriptors.CalcNumAromaticRings(plain),
        "nrings": rdMolDescriptors.CalcNumRings(plain),
        "chiral_centres": len(Chem.FindMolChiralCenters(plain, includeUnassigned=True, useLegacyImplementation=False)),
        "force_field": field,
        "embedded": count,
        "pool": len(pool),
    }
    mol.SetProp("_Name", smiles)
    return {
        "properties.json": json.dumps(properties, indent=2, sort_keys=True) + "\n",
        "molecule.mol": "\n".join([smiles, "  grimperium", ""] + Chem.MolToMolBlock(mol).split("\n")[3:]),
        "geometry.xyz": xyz_text(mol, pool[:1]),
        "pool.xyz": xyz_text(mol, pool),
    }


def inchikey(mol):
    """The InChIKey, or nothing where RDKit was built without InChI or can't make one."""
    try:
        from rdkit.Chem import inchi
        return inchi.MolToInchiKey(mol)
    except Exception:
        return ""


def xyz_text(mol, members):
    lines = []
    for coords, energy in members:
        lines += [str(mol.GetNumAtoms()), f"{energy:.6f}"]
        lines += [f"{a.GetSymbol():2s} {x:14.8f} {y:14.8f} {z:14.8f}" for a, (x, y, z) in zip(mol.GetAtoms(), coords)]
    return "\n".join(lines) + "\n"


def run(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smiles", required=True)
    parser.add_argument("--charge", type=int, default=0)
    parser.add_argument("--multiplicity", type=int, default=1)
    parser.add_argument("--seed", type=int, default=61453)
    parser.add_argument("--max-pool", type=int, default=300, help="embeddings at most")
    given = parser.parse_args(words)
    try:
        files = build(given.smiles, given.charge, given.multiplicity, given.seed, given.max_pool)
    except Refused as why:
        sys.exit(str(why))
    for name, text in files.items():
        with open(name + ".part", "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
        os.replace(name + ".part", name)


def serve():
    """Answers requests, a line of JSON each, until the end of the input: starting RDKit takes longer than most molecules.

    A request is {"dir": folder, "args": [the script, words]}; the reply says how a run of its own would have ended."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get among the replies
    counted = 0.0  # seconds of CPU; the first request gets the start, too
    for line in sys.stdin:
        request, status, error = json.loads(line), 0, ""
        os.chdir(request["dir"])
        try:
            run(request["args"][1:])
        except SystemExit as end:
            status, error = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        except Exception as failure:
            status, error = 1, f"{type(failure).__name__}: {failure}"
        now = time.process_time()
        print(json.dumps({"exit": status, "error": error, "cpu": now - counted}), file=replies, flush=True)
        counted = now


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else run(sys.argv[1:])
