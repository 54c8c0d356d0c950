"""What a proxy has configured and what a key may use: routing never sends a key to a model it could not have named itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.litellm.reach import same_model

_EVERYTHING: Final = frozenset({"*", "all-proxy-models"})


@dataclass(frozen=True, slots=True)
class Configured:
    """The proxy's `model_list`, as one key sees it."""

    deployments: tuple[Mapping[str, Any], ...]
    team_id: str | None = None

    @classmethod
    def of(cls, router: Any, team_id: str | None = None) -> Configured:
        """What a router is configured with; nothing where there is none."""
        listed = getattr(router, "model_list", None)
        deployments = tuple(one for one in listed if isinstance(one, Mapping)) if isinstance(listed, Iterable) else ()
        return cls(deployments, team_id)

    def name_for(self, model: str) -> str | None:
        """The `model_name` to ask for a model: the one that is called so, else the first whose deployment is that model."""
        fits = [one for one in self.deployments if _team(one) in (None, self.team_id)]
        by_name = next((one for one in fits if one.get("model_name") == model), None)
        found = by_name or next((one for one in fits if same_model(_model(one), model)), None)
        return None if found is None else str(found.get("model_name"))

    def model_behind(self, name: str) -> str | None:
        """The model a `model_name` stands for: that of its first deployment; None for a name that is not configured."""
        found = next((one for one in self.deployments if one.get("model_name") == name and _team(one) in (None, self.team_id)), None)
        return None if found is None else _model(found)


def may_use(key: Any, user: Any, name: str) -> bool:
    """Whether a key may be sent to a `model_name`, by LiteLLM's own lists: the key's, its team's, and its user's.

    An empty list or `all-proxy-models` allows everything; otherwise only what is listed by name. Access groups, wildcards,
    and rules of a project or an organisation are not resolved here, so a key that has them keeps the model it named.

    Args:
        key: LiteLLM's UserAPIKeyAuth.
        user: the key's user as LiteLLM remembers it (object or dict), None where it is not known.
    """
    if _role(key) == "proxy_admin" and not _listed(key, "models"):
        return True
    if getattr(key, "project_id", None) or getattr(key, "org_id", None):
        return False
    team = getattr(key, "team_id", None)
    own = _listed(key, "models")
    if "all-team-models" in own:
        own = _listed(key, "team_models") if team else ("no-models",)
    lists = [own, _listed(key, "team_models") if team else ()]
    if not team and getattr(key, "user_id", None):
        if user is None:
            return name in own
        lists.append(tuple(name for name in _listed(user, "models") if name != "no-default-models"))
    return all(not allowed or bool(_EVERYTHING & set(allowed)) or name in allowed for allowed in lists)


def _listed(source: Any, name: str) -> tuple[str, ...]:
    found = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, (list, tuple)) else ()


def _role(key: Any) -> str:
    role = getattr(key, "user_role", None)
    return str(getattr(role, "value", role) or "")


def _model(deployment: Mapping[str, Any]) -> str:
    params = deployment.get("litellm_params")
    model = params.get("model") if isinstance(params, Mapping) else getattr(params, "model", None)
    return str(model or "")


def _team(deployment: Mapping[str, Any]) -> Any:
    info = deployment.get("model_info")
    return info.get("team_id") if isinstance(info, Mapping) else None
