"""One sealed file per session, and an index that may be deleted at any time.

``layout`` names · ``locks`` stripes · ``markers`` writers · ``descriptors`` open containers · ``containers`` reading,
extending and replacing one · ``room`` zeros behind its end · ``sessions`` finding the newest, and writing behind it ·
``burying`` removing many · ``schema``, ``queries``,
``pending``, ``known``, ``answers``, ``reader``, ``contents`` the index · ``reconcile`` deriving it from the files ·
``catalogue`` the index, mended · ``quarantine`` what was damaged · ``backend`` the verbs
"""

from .backend import FilesBackend

__all__ = ["FilesBackend"]
