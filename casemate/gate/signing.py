"""Model signatures: OpenSSF model-signing, through its own library (``casemate[gate]``).

A signature is a Sigstore bundle over an in-toto statement of the digests of all files
(https://github.com/sigstore/model-transparency).  Keys are elliptic (P-256, P-384, P-521) in PEM.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from casemate.errors import BadInput, MissingExtra

SIGNATURE_BYTES = 64 << 20


def _library() -> Any:
    try:
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise MissingExtra(
            f"model signatures need the library model-signing ({error})", hint="pip install 'casemate[gate]'"
        ) from None
    return model_signing


def sign(
    path: Path, signature: Path, *, private_key: Path, certificate: Path | None, chain: Sequence[Path] = ()
) -> None:
    """Sign a model and write the signature.

    Args:
        path: file or folder; a signature inside the folder is left out of what is signed.
        signature: where it is written.
        private_key: PEM.
        certificate: of the key, when certificates are used.
        chain: what leads from it to the root.

    Raises:
        MissingExtra: the library is not installed.
        BadInput: the key, the certificate or the model cannot be used.
    """
    library = _library()
    inside = [signature.resolve()] if path.is_dir() and signature.resolve().is_relative_to(path.resolve()) else []
    config = library.signing.Config().set_hashing_config(
        library.hashing.Config().set_ignored_paths(paths=inside, ignore_git_paths=False)
    )
    try:
        if certificate is None:
            config.use_elliptic_key_signer(private_key=private_key)
        else:
            config.use_certificate_signer(
                private_key=private_key, signing_certificate=certificate, certificate_chain=list(chain)
            )
        config.sign(path.resolve(), signature)
    except Exception as error:  # the library raises what its parts raise
        raise BadInput(f"cannot be signed: {error}"[:300], where=str(path)) from None


def verify(
    path: Path, signature: Path, names: Sequence[str], *, public_keys: Sequence[Path], certificates: Sequence[Path]
) -> str | None:
    """Why the signature does not hold for exactly these files; None if it does.

    Args:
        path: file or folder.
        signature: the bundle.
        names: of all files that must be signed, relative to the folder.
        public_keys: PEM files; any one suffices.
        certificates: PEM files of authorities; tried when no key fits.

    Raises:
        MissingExtra: the library is not installed.
    """
    library = _library()
    if signature.stat().st_size > SIGNATURE_BYTES:
        return f"the signature is larger than {SIGNATURE_BYTES} bytes"
    inside = [signature.resolve()] if path.is_dir() and signature.resolve().is_relative_to(path.resolve()) else []
    why: list[str] = []
    attempts: list[tuple[str, dict[str, Any]]] = [("key", {"public_key": key}) for key in public_keys]
    if certificates:
        attempts.append(("certificate", {"certificate_chain": list(certificates)}))
    for kind, given in attempts:
        config = library.verifying.Config().set_hashing_config(
            library.hashing.Config().set_ignored_paths(paths=inside, ignore_git_paths=False)
        )
        try:
            if kind == "key":
                config.use_elliptic_key_verifier(**given)
            else:
                config.use_certificate_verifier(**given)
            config.verify(path.resolve(), signature)
        except Exception as error:  # whatever does not verify is not signed
            why.append(f"{type(error).__name__}: {error}"[:200])
            continue
        if path.is_dir():
            left_out = sorted(set(names) - _signed_names(signature))
            if left_out:  # a signature may leave files out, a gate may not
                return f"the signature leaves out {', '.join(left_out[:5])}"
        return None
    return why[0] if why else "there is no key to verify it with"


def _signed_names(signature: Path) -> set[str]:
    """Names of the files in a verified bundle."""
    bundle = json.loads(signature.read_bytes())
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    predicate = payload.get("predicate", {})
    listed = predicate.get("resources", predicate.get("files", [])) if isinstance(predicate, dict) else []
    return {str(resource.get("name")) for resource in listed if isinstance(resource, dict)}
