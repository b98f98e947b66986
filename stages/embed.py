"""Builds a molecule from its SMILES, and starting geometries for the conformer search.

    python3 -I embed.py --smiles CCO --charge 0 --multiplicity 1 --seed 61453 --open-stereo lowest --isomers 16
        --embeddings 300 --all-embeddings 1200 --window 18kcal/mol --same 0.06Å --few "20 0.20Å 100kcal/mol"
        --displace 0.05Å --time 300s

writes properties.json, molecule.json, molecule.mol, geometry.xyz and pool.xyz into the current folder. A failure is
one line on standard error. The exit status is 3 if another seed can only fail in the same way, and 1 otherwise.
With --check it writes nothing, and says what is wrong with the SMILES, the charge and the multiplicity.

pool.xyz has the starting geometries of each stereoisomer that the SMILES leaves open, and none with other stereo than
the SMILES states. They are ETKDGv3 embeddings (doi 10.1021/acs.jcim.0c00025), relaxed with MMFF94s, or with UFF if
that has no parameters. Of similar geometries one is kept. They are not ranked: GFN2-xTB does that later.
The same input gives the same bytes (one thread, one seed).
"""
import argparse
import functools
import io
import itertools
import json
import math
import os
import re
import sys
import time

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import EnumerateStereoisomers, rdDistGeom, rdForceFieldHelpers, rdMolDescriptors, rdMolTransforms
from rdkit.ForceField import rdForceField  # noqa: F401  its classes are what rdForceFieldHelpers returns

MAX_ATOMS = 250      # beyond that neither the embedding nor GFN2 is a matter of minutes
HEAVIEST = 86        # GFN2-xTB ends at radon
# Ce to Yb, Po, At, Rn: PM7 has no parameters. Measured with MOPAC 22.0.6, an atom and a hydride of each element from
# H to Rn. Rn gets no orbitals and the value 0.
NO_PM7 = {*range(58, 71), 84, 85, 86}
TRIPLETS = {"O=O", "S=S", "O=S", "S=O"}  # whose ground state is a triplet, although the SMILES has a double bond
TRIED_BONDED = 60    # embeddings that are added to few starting conformers
MAX_SYMMETRY = 720   # permutations of equivalent atoms tried
TRIES = 50           # for one embedding, of a molecule for which that is all
CHUNK = 25           # embeddings between two looks at the clock
MIRROR = np.array([-1.0, 1.0, 1.0])
MOST_SHARED = 4      # atoms that rings share, whose sides are tried in all ways
LONG_CHAIN = 7       # bonds about which a chain turns: embeddings hardly ever have all of more of them anti
MOST_ONCE = 1 / 3    # of the embeddings may give a conformer that no other gives, if there are
LEAST_TRIES = 50     # embeddings: fewer tell nothing
SECOND = 7919        # added to the seed when the first one gives no geometry at all
NEAR, FAR = 1.8, 20  # Å, between atoms of two branches at one centre
MOST_BENT = 125      # degrees, in MMFF94s, at a carbon of two neighbours that is not linear
LEAST_ANGLE = {3: 80, 4: 80, 5: 80, 6: 80, 7: 62}  # degrees between two ligands of an atom with so many
OPEN_STEREO = {
    "lowest": "the SMILES leaves stereo open: {} were searched, the result is of the lowest (stereo_smiles)",
    "first": "the SMILES leaves stereo open: of {} only the first was searched (stereo_smiles)",
}

Chem.SetAllowNontetrahedralChirality(False)  # SF6 has no isomers


class Refused(Exception):
    """The molecule can't be built by this attempt; the message says why. Another seed may succeed."""
    status = 1  # the exit code


class WrongWords(Refused):
    """The words of the command line are wrong; the message names the word."""
    status = 2


class Unusable(Refused):
    """The molecule can be built by no attempt: it always fails in the same way."""
    status = 3


def read(smiles, charge, multiplicity):
    """The molecule with all hydrogens, or Unusable. Its property _smiles is the SMILES as written."""
    smiles = smiles.strip()
    for place, c in enumerate(smiles, 1):
        if not "!" <= c <= "~":
            raise Unusable(f"the SMILES has U+{ord(c):04X} as character {place}, "
                           "and RDKit would leave out what follows it")
    mol = parse(smiles)
    if mol.GetNumAtoms() == 0:
        raise Unusable("the SMILES is empty")
    if any(a.GetAtomicNum() == 0 for a in mol.GetAtoms()):
        raise Unusable(f"the SMILES '{smiles}' has an atom of no element: *; "
                       "write the atom or the group that it stands for")
    for bond in mol.GetBonds():
        sign = {Chem.BondType.UNSPECIFIED: "~", Chem.BondType.ZERO: "~"}.get(bond.GetBondType())
        if bond.GetBondType() == Chem.BondType.AROMATIC and not bond.IsInRing():
            sign = ":"
        if sign:
            raise Unusable(f"the SMILES '{smiles}' has the bond '{sign}', which says no order; write -, = or #")
    parts = len(Chem.GetMolFrags(mol))
    if parts > 1:
        raise Unusable(f"the SMILES '{smiles}' has {parts} separate parts, and a row is one molecule; "
                       "give each part a row, or write an ion pair with a bond, as CC(=O)O[Na]")
    mol = Chem.AddHs(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() > HEAVIEST:
            raise Unusable(f"the SMILES '{smiles}' has {atom.GetSymbol()}, and GFN2-xTB ends at Rn")
        if atom.GetAtomicNum() in NO_PM7:
            raise Unusable(f"the SMILES '{smiles}' has {atom.GetSymbol()}, for which PM7 has no parameters")
    if mol.GetNumAtoms() > MAX_ATOMS:
        raise Unusable(f"the molecule has {mol.GetNumAtoms()} atoms, at most {MAX_ATOMS} are taken")
    wrong = state_problem(mol, charge, multiplicity)
    if wrong:
        raise Unusable(wrong)
    mol.SetProp("_smiles", smiles)
    return mol


def parse(smiles):
    """The molecule of a SMILES as RDKit reads it, or Unusable."""
    stderr, sys.stderr = sys.stderr, io.StringIO()
    rdBase.LogToPythonStderr()
    try:
        mol = Chem.MolFromSmiles(smiles)
        raw = Chem.MolFromSmiles(smiles, sanitize=False) if mol is None else None
        messages = sys.stderr.getvalue()
    finally:
        sys.stderr = stderr
    if mol is None and raw is not None:
        mol = hypervalent(raw)
    if mol is None:
        why = chemical_reason(raw) if raw is not None else syntax_reason(smiles, messages)
        noise = r"^\[[^\]]*\] |SMILES Parse Error: | (while parsing|for input): .*"  # the time, the SMILES again
        first = re.sub(noise, "", messages.partition("\n")[0]).strip()
        raise Unusable(f"RDKit can't read the SMILES '{smiles}': {why or first or 'it gives no reason'}")
    return mol


def hypervalent(raw):
    """The molecule of an unsanitised one whose only fault is that atoms from silicon on have more bonds than RDKit
    knows of, to electronegative atoms, as in BrF5 and ClF3; else None."""
    quiet = rdBase.BlockLogs()  # noqa: F841
    mol = Chem.Mol(raw)
    mol.UpdatePropertyCache(strict=False)
    problems = problems_of(mol)
    if not problems:
        return None
    for problem in problems:
        if problem.GetType() != "AtomValenceException":
            return None
        atom = mol.GetAtomWithIdx(problem.GetAtomIdx())
        if atom.GetAtomicNum() < 14 or any(n.GetAtomicNum() not in (7, 8, 9, 17) for n in atom.GetNeighbors()):
            return None
        atom.SetNoImplicit(True)
        atom.SetBoolProp("_hypervalent", True)
    mol.UpdatePropertyCache(strict=False)
    Chem.SanitizeMol(mol, Chem.SanitizeFlags.SANITIZE_ALL ^ Chem.SanitizeFlags.SANITIZE_PROPERTIES)
    return mol


def without_hydrogens(mol):
    """The molecule without its hydrogens, but for those that a SMILES needs."""
    try:
        return Chem.RemoveHs(mol)
    except Chem.AtomValenceException:  # what hypervalent() lets pass
        return Chem.RemoveHs(mol, sanitize=False)


def syntax_reason(smiles, messages):
    """Why a text is no SMILES, "" where the messages of RDKit say it best."""
    if re.fullmatch(r"\d{2,7}-\d\d-\d", smiles):
        return "it is a CAS number"
    if re.search(r"(?<!-)>", smiles):
        return "'>' stands in reactions, and a row is one molecule"
    for atom in re.findall(r"\[[^\[\]]*\]?", smiles):
        found = re.fullmatch(r"\[\d*([A-Za-z][a-z]?|\*).*\]", atom)
        if not atom.endswith("]"):
            return f"the bracket {atom} is not closed"
        if not found or not is_element(found.group(1)) and not is_element(found.group(1)[0]):
            return f"{atom} is no atom of an element"
    plain = re.sub(r"\[[^\]]*\]", "", smiles)
    more = plain.count("(") - plain.count(")")
    if more:
        many, few = "()" if more > 0 else ")("
        return f"{abs(more)} more '{many}' than '{few}'"
    if "unclosed ring" in messages:
        marks = re.findall(r"%\(\d+\)|%\d\d|\d", plain)
        open_ = sorted({m for m in marks if marks.count(m) % 2})
        return f"unclosed ring: the ring closure {', '.join(open_)} stands only once" if open_ else ""
    found = re.search(r"[^BCNOPSFIbcnopslr0-9()=#$:/\\.%*~<>-]", plain.replace("Cl", "").replace("Br", ""))
    if found:
        return (f"'{found.group()}' is no sign of a SMILES outside of brackets; "
                "an element such as Si stands in brackets: [SiH4]")
    bond = re.search(r"[-=#$:/\\~.](?=[-=#$:/\\~.)]|$)|(?<!.)[-=#$:/\\~.]", re.sub(r"\[[^\]]*\]", "*", smiles))
    return f"the sign {bond.group()} has no atom on one of its sides" if bond else ""


def is_element(symbol):
    try:
        quiet = rdBase.BlockLogs()  # noqa: F841
        return symbol == "*" or Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize()) > 0
    except RuntimeError:
        return False


def chemical_reason(mol):
    """What RDKit finds wrong with the molecule of a SMILES that is written correctly, "" where it finds nothing."""
    quiet = rdBase.BlockLogs()  # noqa: F841
    mol.UpdatePropertyCache(strict=False)
    for problem in problems_of(mol):
        if problem.GetType() == "AtomValenceException":
            atom = mol.GetAtomWithIdx(problem.GetAtomIdx())
            bonds = sum(b.GetBondTypeAsDouble() for b in atom.GetBonds()) + atom.GetNumExplicitHs()
            charge = f" with charge {signed(atom.GetFormalCharge())}" if atom.GetFormalCharge() else ""
            bridge = atom.GetSymbol() in ("F", "Cl", "Br", "I") and atom.GetDegree() == 2 and not charge
            return (f"atom {atom.GetIdx() + 1} ({atom.GetSymbol()}{charge}) has {bonds:g} bonds, "
                    "more than it can have" + "; write a halogen between two atoms as in F[Al-](F)(F)[F+][Na]" * bridge)
        if problem.GetType() == "AtomKekulizeException":
            return in_no_ring(mol.GetAtomWithIdx(problem.GetAtomIdx()))
        if problem.GetType() == "KekulizeException":
            return kekulize_reason(mol, problem.GetAtomIndices())
    return next((in_no_ring(atom) for atom in mol.GetAtoms() if atom.GetIsAromatic()), "")


def problems_of(mol):
    """What RDKit finds wrong with the chemistry, nothing where it trips over aromatic atoms without any ring."""
    try:
        return Chem.DetectChemistryProblems(mol)
    except RuntimeError:
        return []


def in_no_ring(atom):
    return (f"atom {atom.GetIdx() + 1} ({atom.GetSymbol().lower()}) is written as aromatic, "
            "in a small letter, and is in no ring")


def kekulize_reason(mol, atoms):
    """Why aromatic atoms can't be drawn with single and double bonds: mostly a nitrogen lacks its H."""
    bare = [a.GetIdx() for a in mol.GetAtoms()
            if a.GetIsAromatic() and a.GetSymbol() in ("N", "P") and a.GetDegree() == 2
            and a.GetFormalCharge() == 0 and a.GetNumExplicitHs() == 0]
    for several in (1, 2, 3):
        for chosen in itertools.islice(itertools.combinations(bare, several), 200):
            trial = Chem.Mol(mol)
            for index in chosen:
                trial.GetAtomWithIdx(index).SetNumExplicitHs(1)
            if Chem.SanitizeMol(trial, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
                symbol = mol.GetAtomWithIdx(chosen[0]).GetSymbol().lower()
                return (f"an aromatic {symbol.upper()} lacks its H; write [{symbol}H] for {symbol}, "
                        f"as {Chem.MolToSmiles(trial)}")
    named = ", ".join(f"{i + 1} ({mol.GetAtomWithIdx(i).GetSymbol().lower()})" for i in atoms)
    return (f"no single and double bonds can be drawn for the aromatic atoms {named}: "
            "an H, a charge or an atom is missing")


STATES = ["", "a singlet", "a doublet", "a triplet", "a quartet", "a quintet", "a sextet", "a septet", "an octet",
          "a nonet"]


def signed(charge):
    return f"{charge:+d}" if charge else "0"


def state_problem(mol, charge, multiplicity):
    """What is wrong with the charge and the multiplicity of a molecule with all hydrogens, "" for nothing.

    possible_state of pipeline.hcl says it in the same words."""
    electrons = sum(a.GetAtomicNum() for a in mol.GetAtoms()) - charge
    unpaired, written, problems = multiplicity - 1, Chem.GetFormalCharge(mol), []
    if unpaired < 0 or unpaired > electrons or (electrons - unpaired) % 2:
        known = 0 < multiplicity < len(STATES)
        state = STATES[multiplicity] if known else f"a state of multiplicity {multiplicity}"
        problems.append(f"{electrons} electrons can't form {state}")
    if written != charge:
        the = "The" if problems else "the"
        problems.append(f"{the} SMILES has charge {signed(written)}; the row says {signed(charge)}")
    return ". ".join(problems)


def notices(mol, multiplicity):
    """What a chemist should know of a molecule that read gave, but for open stereo: warnings, a sentence each."""
    smiles = mol.GetProp("_smiles")
    return unpaired_notices(mol, multiplicity, smiles) + lost_marks(smiles) + lost_double_bonds(smiles)


D_BLOCK = {*range(21, 31), *range(39, 49), *range(57, 81)}


def unpaired_notices(mol, multiplicity, smiles):
    """Warns of a multiplicity that is not the one of the unpaired electrons in the SMILES.

    Two electrons at one atom may be paired, as in a singlet carbene. An atom alone and the metals of the d block have
    no electrons that the SMILES tells of, and some molecules that are written with a double bond are triplets."""
    radicals = [a.GetNumRadicalElectrons() for a in mol.GetAtoms()]
    written, pairs, unpaired = sum(radicals), sum(n // 2 for n in radicals), multiplicity - 1
    if mol.GetNumAtoms() == 1 or any(a.GetAtomicNum() in D_BLOCK for a in mol.GetAtoms()):
        return []
    if unpaired == 2 and smiles in TRIPLETS:
        return []
    if written <= 4 and unpaired in range(written - 2 * pairs, written + 1, 2):
        return []
    notice = f"the SMILES has {count_of(written, 'unpaired electron')}; multiplicity {multiplicity} means {unpaired}"
    bare = any(a.GetNumRadicalElectrons() and not a.GetTotalNumHs(includeNeighbors=True) for a in mol.GetAtoms())
    if written > unpaired and bare:
        if any(a.GetAtomMapNum() for a in mol.GetAtoms()):
            notice += ("; the SMILES has atom-map numbers and no hydrogens, "
                       "which must be written in brackets, as [CH3:1]")
        else:
            notice += "; an atom in brackets has only the hydrogens that are written there, as [CH3]"
    return [notice]


def as_written(smiles, sanitize):
    """The molecule with the atoms in the order of the SMILES: no written hydrogen is removed. Without sanitize the
    marks of stereo are as written; with it they are those that RDKit keeps."""
    params = Chem.SmilesParserParams()
    params.removeHs, params.sanitize = False, sanitize
    return Chem.MolFromSmiles(smiles, params)


def lost_marks(smiles):
    """Warns of each @ that is written in the SMILES and that RDKit does not keep."""
    if "@" not in smiles:
        return []
    kept, out = as_written(smiles, True), []
    for atom in as_written(smiles, False).GetAtoms():
        index, none = atom.GetIdx(), Chem.ChiralType.CHI_UNSPECIFIED
        if atom.GetChiralTag() == none or kept.GetAtomWithIdx(index).GetChiralTag() != none:
            continue
        allene = sum(b.GetBondType() == Chem.BondType.DOUBLE for b in atom.GetBonds()) == 2
        why = "RDKit keeps no stereo of allenes" if allene else "RDKit sees no stereo centre there"
        out.append(f"the mark @ at atom {index + 1} ({atom.GetSymbol()}) is left out: {why}")
    return out


def lost_double_bonds(smiles):
    """Warns of double bonds whose E or Z is written in the SMILES by / and \\ and that RDKit does not keep."""
    if "/" not in smiles and "\\" not in smiles:
        return []
    written, kept, out = as_written(smiles, False), as_written(smiles, True), []
    for bond in kept.GetBonds():
        sizes = [len(ring) for ring in kept.GetRingInfo().BondRings() if bond.GetIdx() in ring]
        if bond.GetBondType() != Chem.BondType.DOUBLE or bond.GetStereo() > Chem.BondStereo.STEREOANY:
            continue
        if sizes and min(sizes) < 8 and written_trans(written, kept, bond):
            out.append(f"the double bond {bond_name(bond)} is written as E (trans) in a ring of {min(sizes)} atoms, "
                       "and RDKit keeps none below 8")
    for chain in cumulenes(kept):
        ends = [written.GetAtomWithIdx(end) for end in (chain[0], chain[-1])]
        if all(any(b.GetBondDir() in SIDES for b in end.GetBonds()) for end in ends):
            names = "=".join(f"{kept.GetAtomWithIdx(i).GetSymbol()}{i + 1}" for i in chain)
            out.append(f"the stereo of the cumulated double bonds {names} is left out: RDKit keeps none")
    return out


SIDES = {Chem.BondDir.ENDUPRIGHT: 1, Chem.BondDir.ENDDOWNRIGHT: -1}


def bond_name(bond):
    return "=".join(f"{a.GetSymbol()}{a.GetIdx() + 1}" for a in (bond.GetBeginAtom(), bond.GetEndAtom()))


def written_trans(written, kept, bond):
    """Whether the marks at a double bond of a ring put the ring's atoms on different sides of it."""
    rings = kept.GetRingInfo()
    ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    small = min((ring for ring in rings.AtomRings() if set(ends) <= set(ring)), key=len)
    product = 1
    for index in ends:
        marked = [b for b in written.GetAtomWithIdx(index).GetBonds() if b.GetBondDir() in SIDES]
        if not marked:
            return False
        other = marked[0].GetOtherAtomIdx(index)
        product *= SIDES[marked[0].GetBondDir()]
        product *= (1 if marked[0].GetBeginAtomIdx() == index else -1) * (1 if other in small else -1)
    return product < 0


def cumulenes(mol):
    """The chains of atoms of two double bonds and more in a row."""
    doubles = {a.GetIdx(): [b.GetOtherAtomIdx(a.GetIdx()) for b in a.GetBonds()
                            if b.GetBondType() == Chem.BondType.DOUBLE]
               for a in mol.GetAtoms()}
    chains = []
    for start, next_ in doubles.items():
        if len(next_) != 1:
            continue
        chain = [start]
        while next_:
            chain.append(next_[0])
            next_ = [n for n in doubles[chain[-1]] if n != chain[-2]]
            if len(next_) > 1:
                break
        if len(chain) > 2 and chain[0] < chain[-1]:
            chains.append(chain)
    return chains


def open_stereo_notices(mol):
    """Counts the stereo that the SMILES leaves open, as RDKit sees it, and the double bonds of N-H, which it sees
    with all hydrogens alone.

    Two kinds that RDKit sees are none: each of several cumulated double bonds, and the bridgeheads of small rings."""
    quiet = rdBase.BlockLogs()  # noqa: F841
    plain = without_hydrogens(mol)  # with all hydrogens RDKit misses centres of rings, as in 1,4-cyclohexanediol
    left = [found for found in Chem.FindPotentialStereo(plain, cleanIt=True)
            if found.specified == Chem.StereoSpecified.Unspecified]
    rings = [set(ring) for ring in plain.GetRingInfo().AtomRings()] if left else []
    centres = sum(found.type == Chem.StereoType.Atom_Tetrahedral and not only_one_way(rings, found.centeredOn)
                  and not flat_or_bare(plain.GetAtomWithIdx(found.centeredOn)) for found in left)
    cumulated = {i for chain in cumulenes(plain) for i in chain}
    bonds = sum(found.type == Chem.StereoType.Bond_Double
                and plain.GetBondWithIdx(found.centeredOn).GetBeginAtomIdx() not in cumulated for found in left)
    full = Chem.Mol(mol)
    Chem.FindPotentialStereoBonds(full)
    for b in full.GetBonds():
        bonds += b.GetStereo() == Chem.BondStereo.STEREOANY and any(
            a.GetAtomicNum() == 7 and a.GetTotalNumHs(includeNeighbors=True)
            for a in (b.GetBeginAtom(), b.GetEndAtom()))
    parts = [count_of(n, what) for n, what in ((centres, "stereo centre"), (bonds, "double bond")) if n]
    return [f"the SMILES leaves {' and '.join(parts)} open"] if parts else []


def flat_or_bare(atom):
    """Whether an atom that RDKit takes for a stereo centre can be none: arsenic in arsabenzene, and in AsH3."""
    return atom.GetTotalDegree() < 3 or atom.GetTotalNumHs() > 1


def only_one_way(rings, atom):
    """Whether an atom joins two rings that are too small for the other way round: norbornane and cubane have one
    isomer. Bridged rings of up to 7 atoms, and fused ones of up to 8 atoms together (trans-bicyclo[3.2.0]heptane
    exists)."""
    own = [ring for ring in rings if atom in ring]
    return any(len(a & b) > 2 and max(len(a), len(b)) <= 7 or len(a & b) == 2 and len(a) + len(b) <= 8
               for a, b in itertools.combinations(own, 2))


def count_of(n, what):
    return f"{n if n else 'no'} {what}{'' if n == 1 else 's'}"


def check(smiles, charge, multiplicity):
    """The warnings about a row before anything is computed, and its molecule; or Unusable."""
    mol = read(smiles, charge, multiplicity)
    quiet = rdBase.BlockLogs()  # noqa: F841
    return {"warnings": notices(mol, multiplicity) + open_stereo_notices(mol), "molecule": smiles_of(mol)}


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
    """How many bonds turn: those that is_rotor() knows, and linear_axes()."""
    return len(linear_axes(mol)) + sum(is_rotor(b) for b in mol.GetBonds())


def is_rotor(bond):
    """Whether a bond turns into something else: a single one, or one that is_ylide() knows, between two groups that
    turns() allows."""
    one, other = bond.GetBeginAtom(), bond.GetEndAtom()
    return ((bond.GetBondType() == Chem.BondType.SINGLE or is_ylide(bond)) and not bond.IsInRing()
            and not is_linear(one) and not is_linear(other) and turns(one, other) and turns(other, one))


def is_ylide(bond):
    """Whether a bond is drawn double and turns like a single one: of N to an atom from Si on, as in CS(C)=N, CN=S=NC.
    RDKit sees no stereo there."""
    ends = sorted((bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()))
    return bond.GetBondType() == Chem.BondType.DOUBLE and ends[0] == 7 and ends[1] > 13


def turns(atom, other):
    """Whether a group becomes something else if it is turned about the bond from its atom to another one. CH3, CF3 and
    NH3+ don't: turning them by a third changes nothing."""
    rest = [n for n in atom.GetNeighbors() if n.GetIdx() != other.GetIdx()]
    top = len(rest) == 3 and len({n.GetAtomicNum() for n in rest}) == 1 and all(n.GetDegree() == 1 for n in rest)
    return bool(rest) and not top


def is_linear(atom):
    return atom.GetHybridization() == Chem.HybridizationType.SP


def linear_axes(mol):
    """The axes of linear atoms about which two groups turn against each other, as in OCC#CCO and N[Mg]N: of each the
    atoms of its first bond. Double bonds alone, as in allenes, do not turn."""
    found = []
    for bond in mol.GetBonds():
        for first, atom in ((bond.GetBeginAtom(), bond.GetEndAtom()), (bond.GetEndAtom(), bond.GetBeginAtom())):
            chain, single = [first, atom], bond.GetBondType() == Chem.BondType.SINGLE
            while is_linear(atom) and atom.GetDegree() == 2 and len(chain) <= mol.GetNumAtoms():
                ahead, = (b for b in atom.GetBonds() if b.GetOtherAtomIdx(atom.GetIdx()) != chain[-2].GetIdx())
                single |= ahead.GetBondType() == Chem.BondType.SINGLE
                atom = ahead.GetOtherAtom(atom)
                chain.append(atom)
            if (len(chain) > 2 and single and first.GetIdx() < chain[-1].GetIdx() and not bond.IsInRing()
                    and not is_linear(first) and not is_linear(atom)
                    and turns(first, chain[1]) and turns(atom, chain[-2])):
                found.append([first.GetIdx(), chain[1].GetIdx()])
    return found


def soft_rotors(mol):
    """The bonds about which a symmetric geometry may be a maximum by one method and a minimum by another: single bonds
    outside of rings with an end that is flat, a radical, or a heteroatom bonded to another, as that of a methyl group
    in acetamide or next to a peroxide; and linear_axes(), which turn freely."""
    def soft(atom):
        return (atom.GetHybridization() == Chem.HybridizationType.SP2 or atom.GetNumRadicalElectrons() > 0
                or atom.GetAtomicNum() != 6 and any(n.GetAtomicNum() not in (1, 6) for n in atom.GetNeighbors()))
    found = linear_axes(mol)
    for b in mol.GetBonds():
        ends = b.GetBeginAtom(), b.GetEndAtom()
        if (b.GetBondType() == Chem.BondType.SINGLE and not b.IsInRing() and min(a.GetDegree() for a in ends) > 1
                and not any(is_linear(a) for a in ends)
                and any(soft(a) for a in ends)):
            found.append([a.GetIdx() for a in ends])
    return found


def chain_torsions(mol):
    """The torsions along open chains of saturated atoms: of each bond the four atoms of the longest chain through
    it."""
    away, found = Chem.GetDistanceMatrix(mol), []

    def longest(atom, other):
        """The heavy neighbour of an atom behind which the longest chain lies, away from the other atom."""
        rest = [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors()
                if n.GetIdx() != other and n.GetAtomicNum() > 1]
        reach = {n: max(d for i, d in enumerate(away[atom]) if away[n][i] < d) for n in rest}
        return max(rest, key=lambda n: (reach[n], -n), default=None)

    for bond in mol.GetBonds():
        b, c = bond.GetBeginAtom(), bond.GetEndAtom()
        if (bond.IsInRing() or bond.GetBondType() != Chem.BondType.SINGLE
                or {b.GetHybridization(), c.GetHybridization()} != {Chem.HybridizationType.SP3}):
            continue
        a, d = longest(b.GetIdx(), c.GetIdx()), longest(c.GetIdx(), b.GetIdx())
        if a is not None and d is not None:
            found.append((a, b.GetIdx(), c.GetIdx(), d))
    return found


def extended(mol, xyz, torsions):
    """The molecule with the conformers that random embeddings of a long chain miss: all torsions anti, and one
    gauche."""
    base = with_coords(mol, xyz)
    for torsion in torsions:
        rdMolTransforms.SetDihedralDeg(base.GetConformer(), *torsion, 180.0)
    out = Chem.Mol(base)
    for torsion, angle in itertools.product(torsions, (60.0, -60.0)):
        turned = Chem.Mol(base)
        rdMolTransforms.SetDihedralDeg(turned.GetConformer(), *torsion, angle)
        out.AddConformer(turned.GetConformer(), assignId=True)
    return out


def turned_ylides(mol, xyz):
    """The molecule with its first bonds that is_ylide() knows turned by 60° each: MMFF94s has one minimum there, and
    GFN2-xTB up to three."""
    base, turned = with_coords(mol, xyz), []
    for bond in mol.GetBonds():
        if is_ylide(bond) and is_rotor(bond):
            n, other = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda a: a.GetAtomicNum())
            ends = [next(a.GetIdx() for a in one.GetNeighbors() if a.GetIdx() != two.GetIdx())
                    for one, two in ((n, other), (other, n))]
            turned.append((ends[0], n.GetIdx(), other.GetIdx(), ends[1]))
    out = Chem.Mol(base)
    out.RemoveAllConformers()
    for angles in itertools.product(range(0, 360, 60), repeat=min(2, len(turned))) if turned else ():
        one = Chem.Conformer(base.GetConformer())
        for torsion, angle in zip(turned, angles):
            rdMolTransforms.SetDihedralDeg(one, *torsion, angle)
        out.AddConformer(one, assignId=True)
    return out


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


def bent_carbons(mol):
    """The carbon atoms of two neighbours that are not linear: of carbenes, vinyl and acyl radicals, and carbanions."""
    return [a for a in mol.GetAtoms()
            if a.GetAtomicNum() == 6 and a.GetDegree() == 2 and a.GetHybridization() != Chem.HybridizationType.SP]


def minimised(mol, properties, conf=-1):
    """The MMFF94s field of a conformer that it has relaxed. MMFF94s takes every carbon of two neighbours for linear,
    which makes one of cis and trans in O=[C]O. So bent ones are held below MOST_BENT."""
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties, confId=conf)
    field.Initialize()
    for atom in bent_carbons(mol):
        one, other = (n.GetIdx() for n in atom.GetNeighbors())
        field.MMFFAddAngleConstraint(one, atom.GetIdx(), other, False, 0, MOST_BENT, 100.0)
    field.Minimize(maxIts=1000)
    return field


def relax(mol):
    """Relaxes every conformer. Returns the name of the force field and the energies, kcal/mol (0 without a force
    field)."""
    if mol.GetNumAtoms() > 1 and rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        if bent_carbons(mol):
            properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
            return "MMFF94s", [minimised(mol, properties, c.GetId()).CalcEnergy() for c in mol.GetConformers()]
        done = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, 1, 1000, "MMFF94s")
        return "MMFF94s", [e for _, e in done]
    # UFF puts ligands of PF5 into one place.
    if mol.GetNumAtoms() > 1 and not crowded(mol) and rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        before = Chem.Mol(mol)
        done = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(mol, 1, 1000)
        # UFF takes a halogen with two bonds for linear, and pulls C1C[Br+]1 apart.
        whole = [(0.75 < after / length).all() and (after / length < 1.33).all()
                 for length, after in zip(bond_lengths(before), bond_lengths(mol))]
        if any(whole):
            return "UFF", [e if ok else math.inf for ok, (_, e) in zip(whole, done)]
        mol.RemoveAllConformers()
        for conf in before.GetConformers():
            mol.AddConformer(conf)
    return "none", [0.0] * mol.GetNumConformers()


def bond_lengths(mol):
    """The lengths of all bonds, Å, an array for each conformer."""
    return [np.array([rdMolTransforms.GetBondLength(conf, b.GetBeginAtomIdx(), b.GetEndAtomIdx())
                      for b in mol.GetBonds()]) for conf in mol.GetConformers()]


def relax_bonded(mol, coords):
    """Relaxes coordinates with the bonded terms of MMFF94s alone: charges and contacts let some torsional minima fall
    into others that GFN2-xTB keeps apart. Returns the coordinates and the whole MMFF94s energies, kcal/mol, in the
    order of the bonded ones."""
    whole = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
    bonded = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, "MMFF94s")
    bonded.SetMMFFEleTerm(False)
    bonded.SetMMFFVdWTerm(False)
    done = []
    for xyz in coords:
        one = with_coords(mol, xyz)
        field = minimised(one, bonded)
        total = rdForceFieldHelpers.MMFFGetMoleculeForceField(one, whole)
        total.Initialize()
        done.append((field.CalcEnergy(), total.CalcEnergy(), one.GetConformer().GetPositions()))
    done = sorted((d for d in done if np.isfinite(d[2]).all()), key=lambda d: d[0])
    return [d[2] for d in done], [d[1] for d in done]


def crowded(mol):
    """The atoms with five or more neighbours, and those of hypervalent()."""
    return [a for a in mol.GetAtoms() if a.GetDegree() > 4 or a.HasProp("_hypervalent")]


def parameters(mol):
    """How RDKit embeds the molecule."""
    params = rdDistGeom.ETKDGv3()
    params.numThreads, params.useSmallRingTorsions = 1, True
    if crowded(mol):  # RDKit's own distances allow no octahedron, and have S-F 2.4 Å long
        bare = Chem.Mol(mol)
        for atom in crowded(bare):
            atom.SetAtomicNum(0)
        bounds = rdDistGeom.GetMoleculeBoundsMatrix(bare)
        table = Chem.GetPeriodicTable()
        for atom in crowded(mol):
            centre = atom.GetIdx()
            cosine = math.cos(math.radians(LEAST_ANGLE.get(atom.GetDegree(), 50)))
            ligands = sorted(n.GetIdx() for n in atom.GetNeighbors())
            radius = table.GetRcovalent(atom.GetAtomicNum())
            length = {i: radius + table.GetRcovalent(mol.GetAtomWithIdx(i).GetAtomicNum()) for i in ligands}
            for i in ligands:
                bounds[min(i, centre), max(i, centre)] = length[i] + 0.05
                bounds[max(i, centre), min(i, centre)] = length[i] - 0.05
            across(mol, centre, bounds)
            for i, j in itertools.combinations(ligands, 2):
                bounds[i, j] = length[i] + length[j]
                bounds[j, i] = math.sqrt(length[i] ** 2 + length[j] ** 2 - 2 * length[i] * length[j] * cosine)
        params.SetBoundsMat(bounds)
        params.useRandomCoords, params.useBasicKnowledge = True, False
    return params


def across(mol, centre, bounds):
    """Lets the branches behind the ligands of a crowded atom lie anywhere: RDKit's bounds for them are of the short
    bonds of an atom that it does not know."""
    parts = Chem.RWMol(mol)
    ligands = [n.GetIdx() for n in mol.GetAtomWithIdx(centre).GetNeighbors()]
    for i in ligands:
        parts.RemoveBond(centre, i)
    branch = {i: number for number, part in enumerate(Chem.GetMolFrags(parts)) for i in part}
    for i, j in itertools.combinations(range(mol.GetNumAtoms()), 2):
        if branch[i] != branch[j] and not {i, j} <= {centre, *ligands}:
            bounds[i, j], bounds[j, i] = FAR, NEAR


def embedded(mol, n, params):
    """The molecule with up to n conformers: none where RDKit's minimiser gives up, as on some strained rings; another
    seed gets through."""
    mol = Chem.Mol(mol)
    try:
        rdDistGeom.EmbedMultipleConfs(mol, n, params)
    except RuntimeError:
        mol.RemoveAllConformers()
    return mol


class Embedder:
    """Embeds a molecule in parts. When a part fails, this and all later ones go the next of three ways: as usual, from
    random coordinates with a coarser minimum, and without RDKit's knowledge of linear and flat groups."""

    def __init__(self, mol, stereo, seed):
        self.mol, self.stereo, self.params, self.way = Chem.Mol(mol), stereo, parameters(mol), 0
        for atom in self.mol.GetAtoms():
            if atom.HasProp("_hypervalent"):
                atom.SetAtomicNum(0)  # which RDKit allows any valence
            if atom.GetAtomicNum() == 7 and atom.GetDegree() == 3 and atom.IsInRingSize(3):
                atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)  # RDKit can't embed it; stereo.kept() sorts them
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
            part = embedded(self.mol, n if self.way == 0 else max(n, 10), self.params)
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
    """Up to count embeddings relaxed within about limit seconds of CPU, the lowest first: their coordinates, energies
    (kcal/mol), force field; and the first few as embedded. All are empty when RDKit can't embed the molecule."""
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
    chain = chain_torsions(mol)
    if coords and len(chain) >= LONG_CHAIN:
        part = extended(mol, coords[0], chain)
        field, found = relax(part)
        coords += [c.GetPositions() for c in part.GetConformers()]
        energies += found
    good = [i for i, x in enumerate(coords) if np.isfinite(x).all() and np.isfinite(energies[i])]
    good.sort(key=lambda i: energies[i])
    coords, energies = [coords[i] for i in good], [energies[i] for i in good]
    if coords:
        turned = [c.GetPositions() for c in turned_ylides(mol, coords[0]).GetConformers()]
        coords[1:1], energies[1:1] = turned, energies[:1] * len(turned)
    return coords, energies, field, raw


def with_coords(mol, xyz):
    mol = Chem.Mol(mol)
    mol.RemoveAllConformers()
    conf = Chem.Conformer(mol.GetNumAtoms())
    for i, p in enumerate(xyz):
        conf.SetAtomPosition(i, p.tolist())
    mol.AddConformer(conf)
    return mol


def stereo_elements(mol):
    """Where a molecule has stereo, with the side that it has there, 1 or -1, as side() reads it from a geometry. A
    centre is its atom and the three or four neighbours; a double bond is the four atoms of a torsion."""
    found = {}
    sides = {Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CW: -1}
    for a in mol.GetAtoms():
        if a.GetChiralTag() in sides:
            around = tuple(b.GetOtherAtomIdx(a.GetIdx()) for b in a.GetBonds())
            found["centre", (a.GetIdx(), *around)] = sides[a.GetChiralTag()]
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
    # RDKit looks from the first neighbour onto the three others; of three neighbours the last of these is the lone
    # pair.
    seen_from = p[1] if len(p) == 5 else 2 * p[1:].mean(0) - p[0]
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
        """The SMILES of a geometry's isomer, None when it is none; for both mirror images the one that was met first,
        where the SMILES states no centre."""
        found = with_coords(self.mol, xyz)
        Chem.AssignStereochemistryFrom3D(found)
        for kind, atoms in self.stated:
            if kind == "centre":  # of phosphorus RDKit sees none in a geometry
                found.GetAtomWithIdx(atoms[0]).SetChiralTag(self.mol.GetAtomWithIdx(atoms[0]).GetChiralTag())
                continue
            bond, stated = (m.GetBondBetweenAtoms(*atoms[1:3]) for m in (found, self.mol))
            if bond.GetStereo() != stated.GetStereo():
                return None  # the atoms about the bond are in no plane at all
        name = smiles_of(found)
        if name not in self.names:
            self.open.update(dict.fromkeys(stereo_elements(found)))
            self.names[name] = name
            if not self.handed:
                self.names[smiles_of(mirror_image(found))] = name
        return self.names[name]

    def variants(self, most):
        """The molecule with what the SMILES leaves open settled in up to most of the ways that RDKit sees, mirror
        images once."""
        options = EnumerateStereoisomers.StereoEnumerationOptions(onlyUnassigned=True, unique=True,
                                                                  maxIsomers=most, rand=1)
        found, seen = [], set()
        for variant in EnumerateStereoisomers.EnumerateStereoisomers(self.mol, options):
            name = smiles_of(variant)
            if name not in seen:
                seen |= {name} if self.handed else {name, smiles_of(mirror_image(variant))}
                found.append(variant)
        return found


def fused(mol, seed):
    """The molecule with the sides of atoms that rings share settled, in the ways that RDKit can embed: it sees no
    stereo at the bridge of bicyclo[2.2.0]hexane, and then embeds it hardly ever."""
    rings = mol.GetRingInfo()
    shared = [a.GetIdx() for a in mol.GetAtoms() if a.GetDegree() == 4 and rings.NumAtomRings(a.GetIdx()) > 1
              and a.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED][:MOST_SHARED]
    sides = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW
    for tags in itertools.product(sides[:1], *[sides] * (len(shared) - 1)) if shared else ():
        variant = Chem.Mol(mol)
        for index, tag in zip(shared, tags):
            variant.GetAtomWithIdx(index).SetChiralTag(tag)
        params = parameters(variant)
        params.randomSeed, params.maxIterations = seed, TRIES
        if embedded(variant, 1, params).GetNumConformers():
            yield variant


def mirror_image(mol):
    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        atom.InvertChirality()
    return mol


def smiles_of(mol):
    """The canonical SMILES of a molecule, whose hydrogens are atoms."""
    return Chem.MolToSmiles(without_hydrogens(mol))


def embed_image(mol, stereo, *limits):
    """What embed gives, but of two mirror images the same one is embedded: both get the same conformers and
    energies."""
    image = mirror_image(mol)
    if smiles_of(mol) <= smiles_of(image):
        return embed(mol, stereo, *limits)
    coords, energies, field, raw = embed(image, Stereo(mirror_image(stereo.mol)), *limits)
    return [x * MIRROR for x in coords], energies, field, [x * MIRROR for x in raw]


class Pool:
    """The starting conformers of one stereoisomer, as pairs of coordinates and energy (kcal/mol)."""

    def __init__(self, isomer, mol):
        self.isomer, self.members, self.distinct = isomer, [], Distinct(mol)
        self.once, self.tries = 0, 0  # conformers that one embedding alone gave; embeddings

    def add(self, xyz, energy, same, window):
        """Adds a geometry that is no more than window above the first and none of those that are there."""
        if (not self.members or energy - self.members[0][1] <= window) and self.distinct.new(xyz, same):
            self.members.append((xyz, energy))


def make_pools(mol, count, flexible, given):
    """The pools of the molecule's stereoisomers, that of the lowest energy first; the name of the force field; and how
    many isomers were left out at least."""
    stereo, pools, field, seed = Stereo(mol), {}, "none", given.seed

    def pool_of(xyz):
        name = stereo.isomer(xyz) if stereo.kept(xyz) else None  # a relaxation may, rarely, turn a centre over
        if name and name not in pools:
            pools[name] = Pool(name, mol)
        return pools.get(name)

    all_variants = stereo.variants(4 * given.isomers)
    variants = all_variants[:given.isomers]
    few, same_bonded, clash = given.few
    # RDKit can't embed some cages with the stereo that it sees in them, as bicyclo[1.1.1]pentane; without, it can.
    open_ = len(variants) > 1 or smiles_of(variants[0]) != smiles_of(mol)
    fallbacks = itertools.chain([(mol, seed)] * open_, ((v, seed) for v in fused(mol, seed)), [(mol, seed + SECOND)])
    for number, (variant, first) in enumerate(itertools.chain(((v, seed) for v in variants), fallbacks)):
        if number >= len(variants) and pools:
            break
        most = min(count, given.all_embeddings // len(variants))
        coords, energies, found, raw = embed_image(variant, stereo, most, first, given.time / len(variants))
        if not coords:
            continue
        field, near = found, {}
        for xyz, energy in zip(coords, energies):
            if pool := pool_of(xyz):
                near[pool.isomer] = pool
                pool.add(xyz, energy, given.same, given.window)
        for pool in near.values():
            pool.once, pool.tries = pool.distinct.times.count(1), sum(pool.distinct.times)
        if flexible and field == "MMFF94s" and any(len(pool.members) < few for pool in near.values()):
            for xyz, energy in zip(*relax_bonded(variant, raw)):
                pool = pool_of(xyz)
                if pool and pool.members and len(pool.members) < few:
                    pool.add(xyz, energy, same_bonded, clash)
    found = sorted((p for p in pools.values() if p.members), key=lambda p: p.members[0][1])[:given.isomers]
    if not found:
        stated = " with the stereo that the SMILES states" if stereo.stated else ""
        raise Unusable(f"RDKit builds no geometry of this molecule{stated}: are its rings or its stereo impossible?")
    return found, field, stereo, len(all_variants) - given.isomers


class Distinct:
    """Knows geometries by the distances between heavy atoms, polar hydrogens and those of bent_carbons().

    Distances don't tell left from right, so mirror images are one; equivalent atoms may change places."""

    def __init__(self, mol):
        bent = {a.GetIdx() for a in bent_carbons(mol)}
        self.keep = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1
                     or all(n.GetAtomicNum() != 6 or n.GetIdx() in bent for n in a.GetNeighbors())]
        core = Chem.RWMol(mol)
        for i in sorted(set(range(mol.GetNumAtoms())) - set(self.keep), reverse=True):
            core.RemoveAtom(i)
        # What is drawn double or charged must not hide the symmetry of a carboxylate or a benzene.
        for atom in core.GetAtoms():
            atom.SetNoImplicit(True)
            atom.SetFormalCharge(0)
            atom.SetIsAromatic(False)
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        for bond in core.GetBonds():
            bond.SetBondType(Chem.BondType.SINGLE)
            bond.SetIsAromatic(False)
        core = core.GetMol()
        maps = np.array(core.GetSubstructMatches(core, uniquify=False, maxMatches=MAX_SYMMETRY))
        maps = maps.reshape(-1, len(self.keep))
        self.upper = np.triu_indices(len(self.keep), 1)
        self.pairs = maps[:, self.upper[0]], maps[:, self.upper[1]]
        self.known, self.times = [], []

    def new(self, xyz, same):
        """Whether the geometry is none of the known ones, from now on known; same is the RMS difference of distances
        allowed, Å."""
        x = xyz[self.keep]
        d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
        for i, k in enumerate(self.known):
            diff = np.abs(k - d[self.upper])
            if diff.shape[1] == 0 or ((diff.max(1) < 4 * same) & (np.sqrt((diff ** 2).mean(1)) < same)).any():
                self.times[i] += 1
                return False
        self.known.append(d[self.pairs])
        self.times.append(1)
        return True


def displaced(xyz, seed, most):
    """A geometry with each coordinate moved by at most so many Å: an exactly symmetric one may be no minimum, and stays
    symmetric in any optimisation."""
    return xyz + np.random.RandomState(seed).uniform(-most, most, xyz.shape)


def build(given):
    """All of it: the contents of the files to write, by name. Raises Refused. Keeps nothing between calls."""
    mol = read(given.smiles, given.charge, given.multiplicity)
    warnings = notices(mol, given.multiplicity)
    quiet = rdBase.BlockLogs()  # until the end: which atom types a force field lacks is no news  # noqa: F841
    turning = rotors(mol) + (flexible_ring_bonds(mol) + 1) // 2  # the torsions of a ring turn together
    count = min(given.embeddings, 4 + 16 * turning * turning)
    pools, field, stereo, left_out = make_pools(mol, count, turning > 0, given)
    if len(pools) > 1 and given.open_stereo == "refuse":
        raise Unusable(f"the SMILES leaves open which of {len(pools)} stereoisomers is meant, and open_stereo is "
                       f"\"refuse\": {', '.join(p.isomer for p in pools)}")
    if len(pools) > 1:
        which = "all its isomers"
        if left_out > 0:
            which = f"{given.isomers} of its {given.isomers + left_out} isomers or more"
        warnings.append(OPEN_STEREO[given.open_stereo].format(which))
    if given.open_stereo == "first":
        pools = pools[:1]
    once, tries = sum(p.once for p in pools), sum(p.tries for p in pools)
    # once / tries is the probability that another embedding gives a new one (Good, Biometrika 1953, 40, 237).
    if tries >= LEAST_TRIES and once > MOST_ONCE * tries:
        warnings.append(f"conformers are missing: {once} of {tries} embeddings gave one that no other gave; "
                        "more embeddings find more (--embeddings in pipeline.hcl)")

    members = [(xyz, energy, pool.isomer) for pool in pools for xyz, energy in pool.members]
    mol, soft = with_coords(mol, members[0][0]), soft_rotors(mol)
    plain = isomer_of(mol, pools[0])
    properties = {
        "canonical_smiles": smiles_of(mol),
        "isomers": [p.isomer for p in pools],
        "inchikeys": {p.isomer: inchikey(isomer_of(mol, p)) for p in pools},
        "formula": rdMolDescriptors.CalcMolFormula(mol),
        "natoms": mol.GetNumAtoms(),
        "nheavy": mol.GetNumHeavyAtoms(),
        "nrotbonds": rdMolDescriptors.CalcNumRotatableBonds(plain),
        "nrotors": turning,
        "nsoft": len(soft) + flexible_ring_bonds(mol),
        "tpsa": round(rdMolDescriptors.CalcTPSA(plain), 2),
        "naromaticrings": rdMolDescriptors.CalcNumAromaticRings(plain),
        "nrings": rdMolDescriptors.CalcNumRings(plain),
        "chiral_centres": len(Chem.FindMolChiralCenters(plain, includeUnassigned=True, useLegacyImplementation=False)),
        "force_field": field,
        "embedded": count,
        "pool": len(members),
        "rigid": turning == 0 and len(members) == 1,
        "linear": any(a.GetHybridization() == Chem.HybridizationType.SP and a.GetDegree() > 1 for a in mol.GetAtoms()),
        "warnings": warnings,
    }
    mol.SetProp("_Name", given.smiles)
    moved = [(displaced(xyz, given.seed + i, given.displace), energy, isomer)
             for i, (xyz, energy, isomer) in enumerate(members)]
    block = Chem.MolToMolBlock(mol, includeStereo=False).split("\n")[3:]
    return {
        "properties.json": json.dumps(properties, indent=2, sort_keys=True) + "\n",
        # Without marks of stereo: which isomer it is, the coordinates say, here and in an export.
        "molecule.mol": "\n".join([given.smiles, "  grimperium", ""] + block),
        "molecule.json": json.dumps(description(mol, soft, stereo)) + "\n",
        "geometry.xyz": xyz_text(mol, members[:1]),
        "pool.xyz": xyz_text(mol, moved),
    }


def isomer_of(mol, pool):
    """The molecule with the stereo of a pool, without hydrogens."""
    named = with_coords(mol, pool.members[0][0])
    Chem.AssignStereochemistryFrom3D(named)
    return without_hydrogens(named)


def description(mol, soft, stereo):
    """What the molecule is, for those who compare geometries with it; atoms are counted from 0."""
    return {
        "symbols": [a.GetSymbol() for a in mol.GetAtoms()],
        "bonds": sorted(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds()),
        "rotors": soft,
        "stereo": [{"kind": kind, "atoms": atoms, "stated": (kind, atoms) in stereo.stated}
                   for kind, atoms in dict.fromkeys([*stereo.stated, *stereo.open])],
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


class Words(argparse.ArgumentParser):
    def error(self, message):
        raise WrongWords(f"embed.py: {message}")


def quantity(*units):
    """Reads numbers with their units, as "18kcal/mol" for one unit and "20 0.20Å 100kcal/mol" for several."""
    def read(text):
        numbers = text.split()
        if len(numbers) != len(units) or not all(n.endswith(u) for n, u in zip(numbers, units)):
            raise argparse.ArgumentTypeError(f"'{text}' must be {' '.join('N' + u for u in units)}")
        try:
            found = [float(n.removesuffix(u)) for n, u in zip(numbers, units)]
        except ValueError:
            found = [-1.0]
        if not all(0 <= x < math.inf for x in found):
            raise argparse.ArgumentTypeError(f"'{text}' has no numbers of 0 or more in it")
        return found if len(units) > 1 else found[0]
    return read


def positive(text):
    """Reads a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number from 1 on")
    return int(text)


@functools.cache  # a worker reads the words of many molecules, and to make a parser takes longer than to check one
def word_parser(check):
    parser = Words(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--smiles", required=True)
    parser.add_argument("--charge", type=int, required=True)
    parser.add_argument("--multiplicity", type=int, required=True)
    parser.add_argument("--check", action="store_true", help="build nothing")
    if check:
        return parser
    for name, read, meaning in (
        ("--seed", int, "of RDKit's random numbers"),
        ("--isomers", positive, "at most so many stereoisomers, if the SMILES leaves stereo open"),
        ("--embeddings", positive, "at most, of one isomer: 4 + 16 n² of n torsions"),
        ("--all-embeddings", positive, "at most, of all isomers"),
        ("--window", quantity("kcal/mol"), "by force field; wide, since force fields misjudge hydrogen bonds"),
        ("--same", quantity("Å"), "RMS difference of the distances between heavy atoms and polar hydrogens of two "
         "equal conformers; none differs by four times as much, which keeps apart what differs in one hydrogen bond"),
        ("--few", quantity("", "Å", "kcal/mol"), "a smaller pool is filled up with geometries that are relaxed without "
         "charges and contacts; --same and --window of these"),
        ("--displace", quantity("Å"), "at most, by which each coordinate of a starting geometry is moved"),
        ("--time", quantity("s"), "of CPU for embedding and relaxing"),
    ):
        parser.add_argument(name, type=read, required=True, help=meaning)
    parser.add_argument("--open-stereo", choices=["lowest", "first", "refuse"], required=True,
                        help="what becomes of stereo that the SMILES leaves open")
    return parser


def run(words):
    """Does what the words of the command line say. Returns what a worker's reply says besides."""
    given = word_parser("--check" in words).parse_args(words)
    if given.check:
        return check(given.smiles, given.charge, given.multiplicity)
    files = build(given)
    for name, text in files.items():
        with open(name + ".part", "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
        os.replace(name + ".part", name)
    return {}


def main(words):
    try:
        answer = run(words)
    except Refused as why:
        print(why, file=sys.stderr)
        sys.exit(why.status)
    for warning in answer.get("warnings", []):
        print(f"warning: {warning}", file=sys.stderr)


def serve():
    """Answers requests, a line of JSON each, until the end of the input: starting RDKit takes longer than most
    molecules.

    A request is {"dir": folder, "args": [the script, words]}; the reply says how a run of its own would have ended."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get among the replies
    counted = 0.0  # seconds of CPU; the first request gets the start, too
    for line in sys.stdin:
        request, status, error, answer = json.loads(line), 0, "", {}
        os.chdir(request["dir"])
        try:
            answer = run(request["args"][1:])
        except Refused as why:
            status, error = why.status, str(why)
        except SystemExit as end:
            status, error = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        except Exception as failure:
            status, error = 1, f"{type(failure).__name__}: {failure}"
        now = time.process_time()
        print(json.dumps({"exit": status, "error": error, "cpu": now - counted, **answer}), file=replies, flush=True)
        counted = now


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main(sys.argv[1:])
