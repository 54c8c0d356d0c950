"""What a proxy has configured and what a key may use: routing never sends a key to a model it could not have named itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from frugal_plugins.litellm.own_prices import prices_of_deployments
from frugal_plugins.litellm.reach import same_model
from frugal_plugins.prices import PriceBook

_EVERYTHING: Final = frozenset({"*", "all-proxy-models"})
_MOST_READ: Final = 256
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Configured:
    """The proxy's `model_list` and `model_group_alias`, as one key sees them."""

    deployments: tuple[Mapping[str, Any], ...]
    team_id: str | None = None
    aliases: Mapping[str, Any] = field(default_factory=dict)
    _found: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, router: Any, team_id: str | None = None) -> Configured:
        """What a router is configured with; nothing where there is none. Read again when its list has changed, and every second."""
        listed, aliases = getattr(router, "model_list", None), getattr(router, "model_group_alias", None)
        whole = tuple(listed) if isinstance(listed, Iterable) else ()
        same_as = (int(time.monotonic()), id(aliases), *map(id, whole))
        before = _read_last.get((id(router), team_id))
        if before is not None and before[0] == same_as:
            return before[2]
        deployments = (one for one in whole if isinstance(one, Mapping))
        seen = tuple(one for one in deployments if _team(one) in (None, team_id))
        read = cls(seen, team_id, aliases if isinstance(aliases, Mapping) else {})
        if len(_read_last) >= _MOST_READ:
            _read_last.clear()
        _read_last[id(router), team_id] = (same_as, whole, read)  # held, so that no other object gets one of these ids meanwhile
        return read

    def prices(self, own: PriceBook) -> PriceBook | None:
        """The book with the prices of the deployments; None where they name none."""
        return self._once(id(own), lambda: (own, prices_of_deployments(own, self.deployments)))[1]

    def name_for(self, model: str) -> str | None:
        """The `model_name` to ask for a model: the one that is called so, else the first whose deployment is that model.

        A wildcard (`openai/*`) takes a model by its full name.
        """
        found = self._named(model) or self._once(
            ("model", model), lambda: next((one for one in self.deployments if same_model(_model(one), model)), None)
        )
        if found is not None:
            return str(found.get("model_name"))
        wild = (str(one.get("model_name", "")) for one in self.deployments)
        return next((model for name in wild if name.endswith("/*") and model.startswith(name[:-1])), None)

    def model_behind(self, name: str) -> str | None:
        """The model a `model_name` stands for: that of its first deployment; None for a name that is not configured."""
        found = self._named(name)
        return None if found is None else _model(found)

    def info_behind(self, name: Any) -> Any:
        """What the owner of a `model_name` wrote into its `model_info`."""
        found = self._named(name) if isinstance(name, str) else None
        return None if found is None else found.get("model_info")

    def limit_behind(self, name: str | None) -> int | None:
        """The output limit the owner of a `model_name` gave it, in tokens."""
        found = None if name is None else self._named(name)
        params = found.get("litellm_params") if found is not None else None
        limits = [params.get(limit) for limit in ("max_tokens", "max_completion_tokens")] if isinstance(params, Mapping) else []
        return next((limit for limit in limits if isinstance(limit, int)), None)

    def _named(self, name: str) -> Mapping[str, Any] | None:
        alias = self.aliases.get(name)
        target = alias.get("model") if isinstance(alias, Mapping) else alias
        wanted = target if isinstance(target, str) else name
        return self._once(("name", wanted), lambda: next((one for one in self.deployments if one.get("model_name") == wanted), None))

    def _once(self, what: Hashable, look: Callable[[], _Found]) -> _Found:
        """What was looked for in the list before."""
        if what not in self._found:
            self._found[what] = look()
        found: _Found = self._found[what]
        return found


_read_last: Final[dict[tuple[int, str | None], tuple[tuple[int, ...], tuple[Any, ...], Configured]]] = {}
"""By router and team: what the list was known by, the list itself, and what was read from it."""


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
