"""Voilà as the review page needs it: a kernel that died ahead is replaced, one left ends."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_core.utils import ensure_async
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler

__all__ = ["ReviewVoila"]


class _PageLeft(VoilaShutdownKernelHandler):  # type: ignore[misc]
    """Ends the kernel of a page that is left.

    A beacon cannot carry the token that jupyter-server asks of a form, so Voilà's
    own handler refuses it. Instead of it the request must come from this page's
    own address (``APIHandler.prepare`` checks the Origin that browsers always
    send with a beacon), by somebody who has the secret of the address.
    """

    def check_xsrf_cookie(self) -> None:
        origin = self.request.headers.get("Origin")
        if not origin or not self.check_origin(origin):
            super().check_xsrf_cookie()


class ReviewVoila(Voila):  # type: ignore[misc]
    """Voilà with two repairs."""

    def init_settings(self) -> dict[str, Any]:
        """As Voilà does, and check a preheated kernel before somebody gets it."""
        settings: dict[str, Any] = super().init_settings()
        manager = self.kernel_manager
        rendered = getattr(manager, "get_rendered_notebook", None)
        if rendered is None:  # nothing is preheated
            return settings

        async def get_rendered_notebook(notebook_name: str, **kwargs: Any) -> Any:
            await _drop_dead(manager, notebook_name)
            if not manager.get_pool_size(notebook_name):
                manager.fill_if_needed(delay=0, notebook_name=notebook_name)
            return await rendered(notebook_name, **kwargs)

        manager.get_rendered_notebook = get_rendered_notebook
        return settings

    def init_handlers(self) -> list[Any]:
        """As Voilà does, with the beacon of a page that is left."""
        return [
            (rule[0], _PageLeft, *rule[2:]) if rule[1] is VoilaShutdownKernelHandler else rule
            for rule in super().init_handlers()
        ]


async def _drop_dead(manager: Any, notebook_name: str) -> None:
    """Take kernels that died while they waited out of the pool."""
    pool = manager._pools.get(notebook_name, [])
    for waiting in list(pool):
        if not waiting.done():
            continue
        try:
            item = waiting.result()
            if await ensure_async(manager.is_alive(item["kernel_id"])):
                continue
            item["task"].cancel()
            await ensure_async(manager.shutdown_kernel(item["kernel_id"], now=True))
        except (asyncio.CancelledError, Exception) as error:
            manager.log.warning("A kernel that was started ahead died: %r", error)
        if waiting in pool:
            pool.remove(waiting)
