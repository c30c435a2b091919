"""Calls one download function of the installed client, in a process of its own: settings are read at import, and some
calls are meant to be killed. `client_call.py FUNCTION JSON-ARGUMENTS`"""

import json
import sys

import huggingface_hub

if __name__ == "__main__":
    print(getattr(huggingface_hub, sys.argv[1])(**json.loads(sys.argv[2])))
