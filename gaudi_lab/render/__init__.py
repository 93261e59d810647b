"""Text and HTML of Gaudi Lab's results, from the same data.

`mixin` is what the data classes inherit; `views` lays each of them out, once for both forms; `units` writes
numbers for people; `templates/` and `style.css` hold the HTML.
"""
