"""The dict of 05.match_prefix that records which hashes are looked up."""

from collections.abc import ItemsView, KeysView, ValuesView


class Values(ValuesView):
    def __iter__(self):
        self._mapping.walked = True
        return iter(dict.values(self._mapping))


class Items(ItemsView):
    def __iter__(self):
        self._mapping.walked = True
        return iter(dict.items(self._mapping))


class Cached(dict):
    """A dict that records which keys are looked up, in itself or in keys(), and whether all of it is walked through."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked, self.walked = [], False

    def __contains__(self, key):
        self.asked.append(key)
        return super().__contains__(key)

    def __getitem__(self, key):
        self.asked.append(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.asked.append(key)
        return super().get(key, default)

    def setdefault(self, key, default=None):
        self.asked.append(key)
        return super().setdefault(key, default)

    def __iter__(self):
        self.walked = True
        return super().__iter__()

    def keys(self):
        return KeysView(self)

    def values(self):
        return Values(self)

    def items(self):
        return Items(self)
