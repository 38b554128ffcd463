"""A shop on Django REST framework: its own pagination and throttle classes, over 1,234 orders in SQLite.

    python server.py PORT DIRECTORY

/offset/, /page/ and /cursor/ page in the framework's three ways; /throttled/... is the same under its throttle, by
client; /tokens/... is cursor paging that gives the token alone. /answers/ says how many answers of each status there
were.
"""

import sys
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

ORDERS = 1234
# Rows that share a day: more than a page holds, so that the cursor has to count among them.
A_DAY = 150
# Answers in any second, to one client.
RATE = 20

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(sys.argv[2]) / "shop.sqlite3"}},
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["__main__.count"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_THROTTLE_RATES": {"anon": f"{RATE}/second"},
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF="__main__",
    USE_TZ=True,
)
django.setup()

from django.core.servers.basehttp import run  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, pagination, response, serializers, throttling  # noqa: E402

answers = Counter()


def count(get_response):
    """Counts answers by status, except those to the test itself."""

    def middleware(request):
        answer = get_response(request)
        if request.path not in ("/", "/answers/"):
            answers[answer.status_code] += 1
        return answer

    return middleware


class Order(models.Model):
    day = models.IntegerField()
    note = models.TextField()

    class Meta:
        app_label = "shop"


class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ["id", "day", "note"]


class ByOffset(pagination.LimitOffsetPagination):
    default_limit = 50
    # A larger limit is cut to this, and nothing says so.
    max_limit = 100


class ByPage(pagination.PageNumberPagination):
    page_size = 50
    page_size_query_param = "size"
    max_page_size = 100


class ByCursor(pagination.CursorPagination):
    page_size = 100
    ordering = ("day", "id")


class ByToken(ByCursor):
    """The framework's cursors, as many wrap them: the token in place of the link."""

    def get_paginated_response(self, data):
        link = self.get_next_link()
        token = link and parse_qs(urlsplit(link).query)[self.cursor_query_param][0]
        return response.Response({"meta": {"next": token}, "data": data})


class Orders(generics.ListAPIView):
    queryset = Order.objects.order_by("id")
    serializer_class = OrderSerializer


# One throttle for all views: it counts by client and scope.
throttled = {"throttle_classes": [throttling.AnonRateThrottle]}
pagings = {"offset": ByOffset, "page": ByPage, "cursor": ByCursor, "tokens": ByToken}
urlpatterns = [path("answers/", lambda request: JsonResponse(answers))]
for name, paging in pagings.items():
    urlpatterns += [
        path(f"{name}/", Orders.as_view(pagination_class=paging)),
        path(f"throttled/{name}/", Orders.as_view(pagination_class=paging, **throttled)),
    ]

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    Order.objects.bulk_create(
        Order(id=number, day=number // A_DAY, note=f'order "{number}" – ½ 💧') for number in range(1, ORDERS + 1)
    )
    run("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), threading=True)
