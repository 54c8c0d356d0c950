"""Loaded by the proxy under test: opens the SDK's door in the proxy's own process, with the same recipe."""

import os

from litellm.integrations.custom_logger import CustomLogger

from frugal_plugins.litellm import install

install(os.environ["FRUGAL_RECIPE"])
opened = CustomLogger()
