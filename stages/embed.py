"""Builds a molecule from its SMILES: a pool of starting geometries for the conformer search.

    python3 -I embed.py --smiles CCO --charge 0 --multiplicity 1 --seed 61453

writes properties.json, molecule.mol, geometry.xyz and pool.xyz into the current folder. What can't be done is said
in one line on standard error, with exit status 1. The same input gives the same bytes (one thread, one seed).
The pool is ETKDGv3 (doi 10.1021/acs.jcim.0c00025), relaxed with MMFF94s (UFF where that has no parameters), and
thinned by geometry. It ranks nothing: that is done with GFN2-xTB afterwards.
"""
import argparse
import io
import itertools
import json
import math
import os
import sys
import time

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import EnumerateStereoisomers, rdDistGeom, rdForceFieldHelpers, rdMolDescriptors, rdMolTransforms
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
MAX_ISOMERS = 16     # stereoisomers searched where the SMILES leaves stereo open
MOST_EMBEDDINGS = 1200  # of all stereoisomers together
LEAST_ANGLE = {5: 80, 6: 80, 7: 62}  # degrees between two ligands of an atom with so many
OPEN_STEREO = {
    "lowest": "the SMILES leaves stereo open: all isomers were searched, the result is of the lowest (stereo_smiles)",
    "first": "the SMILES leaves stereo open: the result is of the first isomer (stereo_smiles), not of the lowest",
}
TRIES = 100          # for one embedding, of a molecule for which that is all
CHUNK = 25           # embeddings between two looks at the clock


Chem.SetAllowNontetrahedralChirality(False)  # SF6 has no isomers


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


def turn_double_bonds(mol, stereo):
    """Turns double bonds to the side that the SMILES states: in a ring of eight RDKit embeds all as Z."""
    if not any(kind == "double bond" for kind, _ in stereo.stated):
        return
    field = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
    wrong = [(c, atoms, want) for c in mol.GetConformers() for (kind, atoms), want in stereo.stated.items()
             if kind == "double bond" and side(kind, atoms, c.GetPositions()) != want]
    for c, atoms, want in wrong if field else []:
        pull = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, field, confId=c.GetId())
        pull.Initialize()
        pull.MMFFAddTorsionConstraint(*atoms, False, *((-40, 40) if want > 0 else (140, 220)), 100.0)
        pull.Minimize(maxIts=500)


def relax(mol):
    """Relaxes every conformer. Returns the name of the force field and the energies, kcal/mol (0 without a force field)."""
    if mol.GetNumAtoms() > 1 and rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        done = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, 1, 1000, "MMFF94s")
        return "MMFF94s", [e for _, e in done]
    # UFF puts ligands of PF5 into one place.
    if mol.GetNumAtoms() > 1 and not crowded(mol) and rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
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


def crowded(mol):
    """The atoms with five or more neighbours."""
    return [a for a in mol.GetAtoms() if a.GetDegree() > 4]


def parameters(mol):
    """How RDKit embeds the molecule."""
    params = rdDistGeom.ETKDGv3()
    params.numThreads, params.useSmallRingTorsions = 1, True
    if crowded(mol):  # RDKit's own distances allow no octahedron; LEAST_ANGLE does
        bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol)
        for atom in crowded(mol):
            centre = atom.GetIdx()
            cosine = math.cos(math.radians(LEAST_ANGLE.get(atom.GetDegree(), 50)))
            ligands = sorted(n.GetIdx() for n in atom.GetNeighbors())
            length = {i: bounds[min(i, centre), max(i, centre)] for i in ligands}
            for i, j in itertools.combinations(ligands, 2):
                bounds[i, j] = length[i] + length[j]
                bounds[j, i] = math.sqrt(length[i] ** 2 + length[j] ** 2 - 2 * length[i] * length[j] * cosine)
        params.SetBoundsMat(bounds)
        params.useRandomCoords, params.useBasicKnowledge = True, False
    return params


class Embedder:
    """Embeds a molecule in parts. When a part fails, this and all later ones go the next of three ways: as usual, from random
    coordinates with a coarser minimum, and without RDKit's knowledge of linear and flat groups."""

    def __init__(self, mol, stereo, seed):
        self.mol, self.stereo, self.params, self.way = mol, stereo, parameters(mol), 0
        self.params.maxIterations = TRIES  # RDKit's own number keeps it busy for minutes with a cage that can't be
        self.part(1, seed)
        if self.way == 0:
            self.params = parameters(mol)

    def part(self, n, seed):
        """The molecule with at most n conformers. With none of them and way == 3 it can't be embedded."""
        self.params.randomSeed = seed
        # Every second part goes without the torsion preferences of crystals: inner hydrogen bonds are rare there.
        self.prefer(self.way < 2 and not self.params.useExpTorsionAnglePrefs)
        part = Chem.Mol(self.mol)
        while self.way < 3:
            try:
                rdDistGeom.EmbedMultipleConfs(part, n if self.way == 0 else max(n, 10), self.params)
            except RuntimeError:  # RDKit's minimiser gives up on some strained rings; another seed gets through
                part.RemoveAllConformers()
            turn_double_bonds(part, self.stereo)
            for c in [c for c in part.GetConformers() if not self.stereo.kept(c.GetPositions())]:
                part.RemoveConformer(c.GetId())
            if part.GetNumConformers():
                break
            self.way += 1
            self.params.useRandomCoords, self.params.optimizerForceTol = True, 0.01
            if self.way == 2:
                self.prefer(False)
                self.params.useBasicKnowledge = False
        return part

    def prefer(self, torsions):
        self.params.useExpTorsionAnglePrefs = self.params.forceTransAmides = torsions


def embed(mol, stereo, count, seed, limit):
    """Up to count embeddings relaxed within about limit seconds of CPU, the lowest first: their coordinates, energies (kcal/mol), force
    field; and the first few as embedded. All are empty when RDKit can't embed the molecule."""
    embedder, start, tries = Embedder(mol, stereo, seed), time.process_time(), 0
    coords, energies, raw, field = [], [], [], "none"
    while tries < count and embedder.way < 3:
        n = min(CHUNK, max(1, count // 2), count - tries)
        part = embedder.part(n, seed + tries)
        tries += n
        if part.GetNumConformers():
            turn_acids(part)
            raw += [c.GetPositions() for c in part.GetConformers()][:TRIED_BONDED - len(raw)]
            field, found = relax(part)
            coords += [c.GetPositions() for c in part.GetConformers()]
            energies += found
        if time.process_time() - start > limit:
            if coords:
                print(f"stopped after {tries} of {count} embeddings: {limit:.0f} s are over", file=sys.stderr)
            break
    good = [i for i, x in enumerate(coords) if np.isfinite(x).all() and np.isfinite(energies[i])]
    good.sort(key=lambda i: energies[i])
    return [coords[i] for i in good], [energies[i] for i in good], field, raw


def with_coords(mol, xyz):
    mol = Chem.Mol(mol)
    mol.RemoveAllConformers()
    conf = Chem.Conformer(mol.GetNumAtoms())
    for i, p in enumerate(xyz):
        conf.SetAtomPosition(i, p.tolist())
    mol.AddConformer(conf)
    return mol


def stereo_elements(mol):
    """Where a molecule has stereo, with the side that it has there, 1 or -1, as side() reads it from a geometry. A centre is its atom and the
    three or four neighbours; a double bond is the four atoms of a torsion."""
    found = {}
    for a in mol.GetAtoms():
        if a.GetChiralTag() in (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW):
            around = tuple(b.GetOtherAtomIdx(a.GetIdx()) for b in a.GetBonds())
            found["centre", (a.GetIdx(), *around)] = 1 if a.GetChiralTag() == Chem.ChiralType.CHI_TETRAHEDRAL_CCW else -1
    for b in mol.GetBonds():
        if b.GetStereo() > Chem.BondStereo.STEREOANY:
            i, j = b.GetStereoAtoms()
            ends = b.GetBeginAtomIdx(), b.GetEndAtomIdx()
            if mol.GetBondBetweenAtoms(i, ends[0]) is None:
                ends = ends[::-1]
            same = b.GetStereo() in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS)
            found["double bond", (i, *ends, j)] = 1 if same else -1
    return found


def side(kind, atoms, xyz):
    """Which of its two sides an element of stereo_elements shows in a geometry."""
    p = xyz[list(atoms)]
    if kind == "double bond":
        return 1 if np.dot(np.cross(p[0] - p[1], p[2] - p[1]), np.cross(p[1] - p[2], p[3] - p[2])) > 0 else -1
    seen_from = p[1] if len(p) == 5 else 2 * p[0] - p[1:].mean(0)
    a, b, c = p[-3:]
    return 1 if np.dot(np.cross(b - a, c - a), seen_from - a) > 0 else -1


class Stereo:
    """Tells the stereoisomers of a molecule apart. What its SMILES states is the same in all of them."""

    def __init__(self, mol):
        self.mol, self.stated, self.open, self.names = mol, stereo_elements(mol), {}, {}
        self.handed = any(kind == "centre" for kind, _ in self.stated)  # else two mirror images are one

    def kept(self, xyz):
        """Whether a geometry has the stereo that the SMILES states."""
        return all(side(*element, xyz) == want for element, want in self.stated.items())

    def isomer(self, xyz):
        """The SMILES of a geometry's isomer, None when it is none; for both mirror images the one that was met first, where the SMILES states
        no centre."""
        found = with_coords(self.mol, xyz)
        Chem.AssignStereochemistryFrom3D(found)
        for kind, atoms in self.stated:
            if kind == "double bond" and found.GetBondBetweenAtoms(*atoms[1:3]).GetStereo() != self.mol.GetBondBetweenAtoms(*atoms[1:3]).GetStereo():
                return None  # the atoms about the bond are in no plane at all
        name = Chem.MolToSmiles(Chem.RemoveHs(found))
        if name not in self.names:
            self.open.update(dict.fromkeys(stereo_elements(found)))
            self.names[name] = name
            if not self.handed:
                self.names[mirrored(found)] = name
        return self.names[name]

    def variants(self):
        """The molecule with what the SMILES leaves open settled in each way that RDKit sees, mirror images once; at most MAX_ISOMERS."""
        options = EnumerateStereoisomers.StereoEnumerationOptions(onlyUnassigned=True, unique=True, maxIsomers=4 * MAX_ISOMERS, rand=1)
        found, seen = [], set()
        for variant in EnumerateStereoisomers.EnumerateStereoisomers(self.mol, options):
            name = Chem.MolToSmiles(Chem.RemoveHs(variant))
            if name not in seen:
                seen |= {name} if self.handed else {name, mirrored(variant)}
                found.append(variant)
        return found[:MAX_ISOMERS]


def mirrored(mol):
    """The SMILES of the mirror image."""
    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        atom.InvertChirality()
    return Chem.MolToSmiles(Chem.RemoveHs(mol))


class Pool:
    """The starting conformers of one stereoisomer, as pairs of coordinates and energy (kcal/mol)."""

    def __init__(self, isomer, mol):
        self.isomer, self.members, self.distinct = isomer, [], Distinct(mol)

    def add(self, xyz, energy, same, window):
        """Adds a geometry that is no more than window above the first and none of those that are there."""
        if (not self.members or energy - self.members[0][1] <= window) and self.distinct.new(xyz, same):
            self.members.append((xyz, energy))


def make_pools(mol, count, seed, flexible):
    """The pools of the molecule's stereoisomers, that of the lowest energy first; the name of the force field; and the stereo."""
    stereo, pools, field = Stereo(mol), {}, "none"

    def pool_of(xyz):
        name = stereo.isomer(xyz) if stereo.kept(xyz) else None  # a relaxation may, rarely, turn a centre over
        return pools.setdefault(name, Pool(name, mol)) if name else None

    variants = stereo.variants()
    # RDKit can't embed some cages with the stereo that it sees in them, as bicyclo[1.1.1]pentane; without, it can.
    for variant in [*variants, mol]:
        if variant is mol and pools:
            break
        coords, energies, found, raw = embed(variant, stereo, min(count, MOST_EMBEDDINGS // len(variants)), seed,
                                             TIME_LIMIT / len(variants))
        if not coords:
            continue
        field, near = found, {}
        for xyz, energy in zip(coords, energies):
            if pool := pool_of(xyz):
                near[pool.isomer] = pool
                pool.add(xyz, energy, SAME, WINDOW)
        if flexible and field == "MMFF94s" and any(len(pool.members) < FEW for pool in near.values()):
            for xyz, energy in zip(*relax_bonded(variant, raw)):
                pool = pool_of(xyz)
                if pool and pool.members and len(pool.members) < FEW:
                    pool.add(xyz, energy, SAME_BONDED, CLASH)
    found = sorted((p for p in pools.values() if p.members), key=lambda p: p.members[0][1])[:MAX_ISOMERS]
    if not found:
        stated = " with the stereo that the SMILES states" if stereo.stated else ""
        raise Refused(f"RDKit builds no geometry of this molecule{stated}: are its rings or its stereo impossible?")
    return found, field, stereo


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


def displaced(xyz, seed, most):
    """A geometry with each coordinate moved by at most so many Å: an exactly symmetric one may be no minimum, and stays symmetric in any
    optimisation."""
    return xyz + np.random.RandomState(seed).uniform(-most, most, xyz.shape)


def build(given):
    """All of it: the contents of the files to write, by name. Raises Refused. Keeps nothing between calls."""
    mol = read(given.smiles, given.charge, given.multiplicity)
    quiet = rdBase.BlockLogs()  # until the end: which atom types a force field lacks is no news  # noqa: F841
    turning = rotors(mol) + (flexible_ring_bonds(mol) + 1) // 2  # the torsions of a ring turn together
    count = min(given.max_pool, 4 + 16 * turning * turning if turning < 4 else 60 * turning)
    pools, field, stereo = make_pools(mol, count, given.seed, turning > 0)
    warnings = []
    if len(pools) > 1 and given.open_stereo == "refuse":
        raise Refused(f"the SMILES leaves open which of {len(pools)} stereoisomers is meant, and open_stereo is \"refuse\": "
                      f"{', '.join(p.isomer for p in pools)}")
    if len(pools) > 1:
        warnings.append(OPEN_STEREO[given.open_stereo])
    if given.open_stereo == "first":
        pools = pools[:1]

    members = [(xyz, energy, pool.isomer) for pool in pools for xyz, energy in pool.members]
    mol = with_coords(mol, members[0][0])
    named = Chem.Mol(mol)
    Chem.AssignStereochemistryFrom3D(named)
    plain = Chem.RemoveHs(named)
    properties = {
        "canonical_smiles": Chem.MolToSmiles(Chem.RemoveHs(mol)),
        "isomers": [p.isomer for p in pools],
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
        "pool": len(members),
        "warnings": warnings,
    }
    mol.SetProp("_Name", given.smiles)
    moved = [(displaced(xyz, given.seed + i, given.displace), energy, isomer) for i, (xyz, energy, isomer) in enumerate(members)]
    return {
        "properties.json": json.dumps(properties, indent=2, sort_keys=True) + "\n",
        # Without marks of stereo: which isomer it is, the coordinates say, here and in an export.
        "molecule.mol": "\n".join([given.smiles, "  grimperium", ""] + Chem.MolToMolBlock(mol, includeStereo=False).split("\n")[3:]),
        "molecule.json": json.dumps(description(mol, stereo)) + "\n",
        "geometry.xyz": xyz_text(mol, members[:1]),
        "pool.xyz": xyz_text(mol, moved),
    }


def description(mol, stereo):
    """What the molecule is, for those who compare geometries with it; atoms are counted from 0."""
    return {
        "symbols": [a.GetSymbol() for a in mol.GetAtoms()],
        "bonds": sorted((sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds())),
        "stereo": [{"kind": kind, "atoms": atoms, "stated": stated} for stated, elements in ((True, stereo.stated), (False, stereo.open))
                   for kind, atoms in elements if stated or (kind, atoms) not in stereo.stated],
    }


def inchikey(mol):
    """The InChIKey, or nothing where RDKit was built without InChI or can't make one."""
    try:
        from rdkit.Chem import inchi
        return inchi.MolToInchiKey(mol)
    except Exception:
        return ""


def xyz_text(mol, members):
    """The members as frames of an xyz file, with energy and isomer in the comment."""
    lines = []
    for coords, energy, isomer in members:
        lines += [str(mol.GetNumAtoms()), f"{energy:.6f} ! {isomer}"]
        lines += [f"{a.GetSymbol():2s} {x:14.8f} {y:14.8f} {z:14.8f}" for a, (x, y, z) in zip(mol.GetAtoms(), coords)]
    return "\n".join(lines) + "\n"


def run(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smiles", required=True)
    parser.add_argument("--charge", type=int, default=0)
    parser.add_argument("--multiplicity", type=int, default=1)
    parser.add_argument("--seed", type=int, default=61453)
    parser.add_argument("--max-pool", type=int, default=300, help="embeddings at most")
    parser.add_argument("--open-stereo", choices=["lowest", "first", "refuse"], default="lowest", help="what becomes of stereo that the SMILES leaves open")
    parser.add_argument("--displace", type=float, default=0.05, help="Å, at most, by which each coordinate of the pool is moved")
    given = parser.parse_args(words)
    try:
        files = build(given)
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
